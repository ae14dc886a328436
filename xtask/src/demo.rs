//! `cargo xtask demo`: what can be had at the same time is: the programs of the
//! platform, from Go modules and packages, while Rust's are compiled. Then
//! `xtask-platform` runs the demo.

use steadfast_tools::Kind;
use steadfast_tools::cargo::Cargo;

use crate::build::build;
use crate::forward::{self, Forwarded};
use crate::stages::Stages;

/// What the demo runs, built in one go with the program that runs it.
const PACKAGES: [&str; 6] = [
    "xtask-platform",
    "steadfast",
    "steadfast-operator",
    "steadfast-gateway",
    "steadfast-worker",
    "steadfast-example-rust-tool",
];

pub(crate) fn run(forwarded: &Forwarded) -> anyhow::Result<()> {
    if needs_programs(forwarded) {
        prepare()?;
    }
    forward::run("demo", forwarded)
}

/// Neither the help nor a cluster that is there already needs a platform.
fn needs_programs(forwarded: &Forwarded) -> bool {
    !forwarded.arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        argument == "--help" || argument == "-h" || argument.split('=').next() == Some("--context")
    })
}

fn prepare() -> anyhow::Result<()> {
    let mut stages = Stages::start();
    let cargo = Cargo::of_this_machine()?;
    // pip, npm and others that install the rest are among them.
    stages.run("Debian packages", || steadfast_tools::install(&[Kind::Debian]))?;
    std::thread::scope(|scope| {
        let programs = stages.begin(scope, "programs", || steadfast_tools::install(&Kind::ALL));
        let mut arguments = vec!["build", "--locked", "--profile", "ci", "--bins"];
        arguments.extend(PACKAGES.iter().flat_map(|package| ["--package", package]));
        let built = stages.run("build", || build(&cargo, &arguments))?;
        stages.detail([built]);
        let installed = stages.wait(programs)?;
        stages.detail(installed);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_is_there_needs_no_platform() {
        let of = |arguments: &[&str]| {
            needs_programs(&Forwarded {
                arguments: arguments.iter().map(Into::into).collect(),
            })
        };
        assert!(of(&[]));
        assert!(of(&["--name", "mine"]));
        assert!(!of(&["--context", "kind"]));
        assert!(!of(&["--context=kind"]));
        assert!(!of(&["--help"]));
    }
}

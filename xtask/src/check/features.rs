//! One set of features for shared dependencies, whichever members a command
//! selects: else `cargo test -p one` after `cargo test -p other` compiles half
//! the tree anew. `workspace-hack` brings that about for every member that
//! depends on it; this check says what is missing in its manifest.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::command;

use super::members;

const HACK: &str = "steadfast-workspace-hack";

/// Each package, as `name v1.0.0`, and the sets of features it is compiled with: for the programs, and for build
/// scripts and macros.
type Features = BTreeMap<String, BTreeSet<String>>;

pub(super) fn check(cargo: &Cargo) -> anyhow::Result<()> {
    let workspace = tree(cargo, &["--workspace"])?;
    let mut problems = BTreeSet::new();
    for member in members::list(cargo)? {
        if member.dependencies.iter().any(|dependency| dependency.name == HACK) {
            let features = tree(cargo, &["--package", &member.name])?;
            problems.extend(differences(&member.name, &features, &workspace));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "members select features that differ from those of the whole workspace: run `cargo hakari generate` \
         (cargo install --locked cargo-hakari)\n{}",
        Vec::from_iter(problems).join("\n")
    )
}

fn tree(cargo: &Cargo, selection: &[&str]) -> anyhow::Result<Features> {
    let arguments = [
        "tree",
        "--locked",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}|{f}",
    ];
    Ok(parse(&command::output(
        &mut cargo.command(&[&arguments[..], selection].concat()),
    )?))
}

/// Lines such as `serde v1.0.0 (proc-macro)|default,std (*)`.
fn parse(tree: &str) -> Features {
    let mut packages = Features::new();
    for line in tree.lines() {
        let Some((package, features)) = line.trim_end_matches(" (*)").split_once('|') else {
            continue;
        };
        let package: Vec<&str> = package.split(' ').take(2).collect();
        packages
            .entry(package.join(" "))
            .or_default()
            .insert(features.to_owned());
    }
    packages
}

fn differences(member: &str, features: &Features, workspace: &Features) -> Vec<String> {
    let mut problems = Vec::new();
    for (package, sets) in features {
        let known = workspace.get(package).cloned().unwrap_or_default();
        for set in sets.difference(&known) {
            let all: Vec<&str> = known.iter().map(String::as_str).collect();
            problems.push(format!("{package} in {member}: {set:?}, in the workspace {all:?}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_with_fewer_features_of_a_dependency_is_a_difference() {
        let workspace = parse("hyper v1.0.0|client,server\nserde v1.0.0|std\nserde v1.0.0|derive,std (*)\n");
        let same = parse("gateway v0.1.0 (/steadfast/gateway)|\nhyper v1.0.0|client,server (*)\nserde v1.0.0|std\n");
        let gateway = parse("gateway v0.1.0|\n");
        let workspace: Features = workspace.into_iter().chain(gateway).collect();
        assert_eq!(differences("gateway", &same, &workspace), [""; 0]);
        let fewer = parse("hyper v1.0.0|server\n");
        assert_eq!(
            differences("gateway", &fewer, &workspace),
            ["hyper v1.0.0 in gateway: \"server\", in the workspace [\"client,server\"]"]
        );
    }
}

//! Dependencies that no source file uses, by cargo-shear. A dependency that is
//! there for its features alone is named in its manifest, below
//! `package.metadata.cargo-shear`.

use std::path::Path;
use std::process::Command;

use steadfast_tools::{WheelProgram, command, wheel_program};

pub(super) fn check(root: &Path) -> anyhow::Result<()> {
    command::run(
        Command::new(wheel_program(WheelProgram::CargoShear)?)
            .args(["--locked"])
            .current_dir(root),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::Workspace;

    #[test]
    fn a_dependency_that_no_source_uses_fails_the_check() {
        let used = Workspace::new()
            .dependency("greeting", "pub fn hello() {}")
            .source("lib.rs", "pub use greeting::hello;");
        check(used.root()).unwrap();
        let unused = used.source("lib.rs", "");
        check(unused.root()).unwrap_err();
    }
}

//! Spelling, by typos. `.typos.toml` names files that are not prose and words
//! that are right.

use std::path::Path;
use std::process::Command;

use steadfast_tools::{WheelProgram, command, wheel_program, workspace};

pub(super) fn check(root: &Path) -> anyhow::Result<()> {
    command::run(
        Command::new(wheel_program(WheelProgram::Typos)?)
            .args(["--hidden", "--config"])
            .arg(workspace::root().join(".typos.toml"))
            .current_dir(root),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::Workspace;

    #[test]
    fn a_misspelled_word_fails_the_check() {
        let workspace = Workspace::new();
        check(workspace.root()).unwrap();
        // Split, so that this file passes.
        let misspelled = workspace.file("README.md", &["rec", "ieve"].concat());
        check(misspelled.root()).unwrap_err();
    }
}

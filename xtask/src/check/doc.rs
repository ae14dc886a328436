//! rustdoc without warnings: no link that leads nowhere. Private items are
//! documented too, as most of a program's items are private.

use std::path::Path;

use steadfast_tools::cargo::Cargo;
use steadfast_tools::command;

pub(super) fn check(cargo: &Cargo, root: &Path) -> anyhow::Result<()> {
    command::run(
        cargo
            .command(&[
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--profile",
                "ci",
                "--locked",
            ])
            .env("RUSTDOCFLAGS", "--deny warnings")
            .current_dir(root),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::Workspace;

    #[test]
    fn a_link_that_leads_nowhere_fails_the_check() {
        let cargo = Cargo::of_this_machine().unwrap();
        let workspace = Workspace::new().source("lib.rs", "//! See [`greet`].\npub fn greet() {}\n");
        check(&cargo, workspace.root()).unwrap();
        let broken = workspace.source("lib.rs", "//! See [`greet`].\n");
        check(&cargo, broken.root()).unwrap_err();
    }
}

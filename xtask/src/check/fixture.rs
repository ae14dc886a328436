//! A small workspace in a temporary directory, to break checks in.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use steadfast_tools::{command, files};
use tempfile::TempDir;

const MANIFEST: &str = r#"
[workspace]
[profile.ci]
inherits = "dev"
[package]
name = "example"
version = "1.0.0"
edition = "2024"
publish = false
[dependencies]
"#;

pub(super) struct Workspace {
    root: TempDir,
    dependencies: String,
}

impl Workspace {
    /// One empty library.
    pub(super) fn new() -> Self {
        let workspace = Self {
            root: TempDir::new().unwrap(),
            dependencies: String::new(),
        };
        workspace.source("lib.rs", "").locked()
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn file(self, path: &str, text: &str) -> Self {
        files::write(&self.root().join(path), text).unwrap();
        self
    }

    /// A file of the library.
    pub(super) fn source(self, path: &str, text: &str) -> Self {
        self.file(&format!("src/{path}"), text)
    }

    /// A crate that the library depends on.
    pub(super) fn dependency(mut self, name: &str, text: &str) -> Self {
        let manifest =
            format!("[package]\nname = {name:?}\nversion = \"1.0.0\"\nedition = \"2024\"\npublish = false\n");
        writeln!(self.dependencies, "{name} = {{ path = {name:?} }}").unwrap();
        self.file(&format!("{name}/Cargo.toml"), &manifest)
            .file(&format!("{name}/src/lib.rs"), text)
            .locked()
    }

    /// Makes the workspace a git repository.
    pub(super) fn in_git(self) -> Self {
        let mut git = Command::new("git");
        git.args(["init", "--quiet"]).current_dir(self.root());
        command::output(&mut git).unwrap();
        self
    }

    fn locked(self) -> Self {
        let manifest = format!("{MANIFEST}{}", self.dependencies);
        let workspace = self.file("Cargo.toml", &manifest);
        let mut lock = Command::new("cargo");
        lock.args(["generate-lockfile", "--offline", "--quiet"])
            .current_dir(workspace.root());
        command::output(&mut lock).unwrap();
        workspace
    }
}

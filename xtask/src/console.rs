//! `cargo xtask console [--check]`: builds the console from `console/` with pinned packages, into the bundle that the
//! gateway embeds: `console/dist`, and the table of its files. Both are committed, so that cargo alone builds a gateway.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use steadfast_tools::args::Environment;
use steadfast_tools::{Kind, command, fake_model, files, workspace};

const BUNDLE: &str = "console/dist";
const TABLE: &str = "gateway/src/console/bundle.rs";
/// The page, and where its files are; their names hold a hash.
const PAGE: &str = "index.html";
const ASSETS: &str = "console/assets";
/// Read by `console/app/vite.config.js`.
const OUT: &str = "STEADFAST_CONSOLE_OUT";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Runs the tests of the console, writes nothing that is committed, and fails when the bundle differs from what its
    /// sources make.
    #[arg(long)]
    pub check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = workspace::root();
    steadfast_tools::install(&[Kind::FakeModel])?;
    npm(&root, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"], None)?;
    if arguments.check {
        let made = root.join("target/console");
        files::remove_dir(&made)?;
        npm(&root, &["run", "build"], Some(&made))?;
        npm(&root, &["test"], None)?;
        compare(&root, &made)
    } else {
        let bundle = root.join(BUNDLE);
        npm(&root, &["run", "build"], Some(&bundle))?;
        files::write(&root.join(TABLE), &table(&names(&bundle)?)?)
    }
}

/// Runs npm on the pinned Node.js that also runs the fake model.
fn npm(root: &Path, arguments: &[&str], out: Option<&Path>) -> anyhow::Result<()> {
    let node = fake_model()?.node;
    let programs = node.parent().context("the directory of node")?;
    let others = Environment::read()?.search_path();
    let path = std::env::join_paths(std::iter::once(programs.to_path_buf()).chain(others))?;
    let mut npm = Command::new("npm");
    npm.current_dir(root.join("console")).env("PATH", path).args(arguments);
    if let Some(out) = out {
        npm.env(OUT, out);
    }
    command::run(&mut npm)
}

fn compare(root: &Path, made: &Path) -> anyhow::Result<()> {
    let committed = root.join(BUNDLE);
    let (made, present) = (contents(made)?, contents(&committed)?);
    let same_table = std::fs::read_to_string(root.join(TABLE)).ok() == Some(table(&names_of(&made))?);
    ensure!(
        made == present && same_table,
        "{BUNDLE} and {TABLE} are not what console/ makes: run `cargo xtask console`"
    );
    Ok(())
}

fn contents(bundle: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut contents = BTreeMap::new();
    for name in names(bundle)? {
        let path = bundle.join(&name);
        let content = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        contents.insert(name, content);
    }
    Ok(contents)
}

fn names_of(contents: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    contents.keys().cloned().collect()
}

/// The files of a bundle, relative to it.
fn names(bundle: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let path = bundle.join(&directory);
        let entries = std::fs::read_dir(&path).with_context(|| format!("list {}", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", path.display()))?;
            let name = directory.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                directories.push(name);
            } else {
                names.push(name.to_str().context("a name that is not UTF-8")?.to_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// The table of the files, as rustfmt writes it.
fn table(names: &[String]) -> anyhow::Result<String> {
    let mut table = "//! The files of the console. Written by `cargo xtask console`.\n\nuse super::File;\n\n\
                     pub(super) const FILES: &[File] = &[\n"
        .to_owned();
    for path in names {
        let name = match path.strip_prefix(ASSETS).and_then(|name| name.strip_prefix('/')) {
            Some(name) if !name.contains('/') => name,
            None if path == PAGE => "",
            _ => bail!("the gateway serves no file {path}: it serves {PAGE} and the files in {ASSETS}"),
        };
        write!(
            table,
            "    File {{\n        name: {name:?},\n        content_type: {:?},\n        \
             content: include_bytes!({:?}),\n    }},\n",
            content_type(path)?,
            format!("../../../{BUNDLE}/{path}"),
        )?;
    }
    table.push_str("];\n");
    Ok(table)
}

fn content_type(path: &str) -> anyhow::Result<&'static str> {
    match path.rsplit('.').next() {
        Some("html") => Ok("text/html; charset=utf-8"),
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("svg") => Ok("image/svg+xml"),
        _ => bail!("{path} has a type that the console does not use"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_names_the_committed_files() {
        let root = workspace::root();
        let table = table(&names(&root.join(BUNDLE)).unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(root.join(TABLE)).unwrap(), table);
    }

    #[test]
    fn a_file_that_the_gateway_would_not_serve_is_an_error() {
        for name in ["console/assets/deep/x.js", "other.js", "console/assets/x.woff2"] {
            assert!(table(&[name.to_owned()]).is_err(), "{name}");
        }
    }
}

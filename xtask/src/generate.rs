//! `cargo xtask generate [--check]`: the files that are generated from the API
//! types: `crds/*.yaml`, and their copies in the chart `steadfast-crds`. Also `docs/cli.md`, the version in
//! the charts, and the plain manifests in `deploy/`.

pub(crate) mod plain_manifests;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use steadfast_tools::cargo::Cargo;

use crate::release::{CHARTS, VERSION};

/// The one `metadata` of a definition: nested ones are indented.
const METADATA: &str = "\nmetadata:\n";
/// Uninstalling the chart must not delete every Agent of the cluster.
const KEEP: &str = "\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Writes nothing and fails when a file differs from what it is made from.
    #[arg(long)]
    pub check: bool,
}

pub(crate) fn run(arguments: &Arguments, cargo: &Cargo) -> anyhow::Result<()> {
    let root = steadfast_tools::workspace::root();
    if arguments.check {
        check_without_helm(cargo)?;
        return plain_manifests::check(&root);
    }
    run_crdgen(Mode::Write, cargo)?;
    write(
        &root.join("charts/steadfast-crds/files"),
        &chart_files(&root.join("crds"))?,
    )?;
    for (path, text) in &chart_versions(&root.join("charts"))? {
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    write_cli_help(cargo)?;
    // The last one: it takes the definitions and the versions.
    plain_manifests::write(&root)
}

/// Fails when a file differs that is made without Helm, which is built while the sources are checked.
pub(crate) fn check_without_helm(cargo: &Cargo) -> anyhow::Result<()> {
    let root = steadfast_tools::workspace::root();
    run_crdgen(Mode::Check, cargo)?;
    // A unit test of the command compares docs/cli.md.
    check(
        &root.join("charts/steadfast-crds/files"),
        &chart_files(&root.join("crds"))?,
    )?;
    check_versions(&chart_versions(&root.join("charts"))?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Write,
    Check,
}

/// Each `Chart.yaml`, and what it is with the version of the workspace.
fn chart_versions(charts: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut versions = Vec::new();
    for chart in CHARTS {
        let path = charts.join(chart).join("Chart.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        versions.push((path, with_version(&text, VERSION)));
    }
    Ok(versions)
}

fn with_version(text: &str, version: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(": ") {
        Some((key @ ("version" | "appVersion"), _)) => format!("{key}: {version}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn check_versions(versions: &[(PathBuf, String)]) -> anyhow::Result<()> {
    for (path, text) in versions {
        ensure!(
            std::fs::read_to_string(path).ok().as_ref() == Some(text),
            "{} has another version than the workspace: run `cargo xtask generate`",
            path.display()
        );
    }
    Ok(())
}

fn write_cli_help(cargo: &Cargo) -> anyhow::Result<()> {
    let path = steadfast_tools::workspace::root().join("docs/cli.md");
    let path = path.to_str().context("the path of docs/cli.md is not UTF-8")?;
    cargo.run(&[
        "run",
        "--profile",
        "ci",
        "--package",
        "steadfast",
        "--",
        "help-markdown",
        path,
    ])
}

fn run_crdgen(mode: Mode, cargo: &Cargo) -> anyhow::Result<()> {
    // Without a package: the features of the whole workspace hold, and nothing is compiled twice.
    let mut arguments = vec!["run", "--quiet", "--locked", "--profile", "ci", "--bin", "crdgen"];
    if mode == Mode::Check {
        arguments.extend(["--", "--check"]);
    }
    cargo
        .run(&arguments)
        .context("crds/*.yaml must be what the types say: run `cargo xtask generate`")
}

/// Name and text of every file of the chart.
fn chart_files(crds: &Path) -> anyhow::Result<Vec<(OsString, String)>> {
    let mut files = Vec::new();
    for path in definition_files(crds)? {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let name = path.file_name().context("a file without a name")?.to_owned();
        files.push((
            name,
            kept_on_uninstall(&text).with_context(|| path.display().to_string())?,
        ));
    }
    Ok(files)
}

fn kept_on_uninstall(text: &str) -> anyhow::Result<String> {
    ensure!(
        text.matches(METADATA).count() == 1,
        "expected one metadata at the top level"
    );
    ensure!(
        !text.contains("\n  annotations:\n"),
        "the definition has annotations: teach this function to add to them"
    );
    Ok(text.replacen(METADATA, KEEP, 1))
}

fn check(directory: &Path, made: &[(OsString, String)]) -> anyhow::Result<()> {
    let names: BTreeSet<&OsString> = made.iter().map(|(name, _)| name).collect();
    let mut wrong: BTreeSet<PathBuf> = yaml_files(directory)?
        .into_iter()
        .filter(|path| !path.file_name().is_some_and(|name| names.contains(&name.to_owned())))
        .collect();
    for (name, text) in made {
        let path = directory.join(name);
        if std::fs::read_to_string(&path).ok().as_ref() != Some(text) {
            wrong.insert(path);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = wrong.iter().map(|path| path.display().to_string()).collect();
    bail!("out of date: {}; run `cargo xtask generate`", shown.join(", "))
}

fn write(directory: &Path, made: &[(OsString, String)]) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("create the directory {}", directory.display()))?;
    for path in yaml_files(directory)? {
        std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    }
    for (name, text) in made {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The definitions, without what Kustomize reads.
fn definition_files(crds: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = yaml_files(crds)?;
    paths.retain(|path| path.file_name() != Some("kustomization.yaml".as_ref()));
    Ok(paths)
}

fn yaml_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(|| format!("list {}", directory.display()))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_the_version_of_the_workspace() {
        let text = "apiVersion: v2\nversion: 0.1.0\nappVersion: 0.1.0\nkubeVersion: \">=1.34.0-0\"\n";
        assert_eq!(
            with_version(text, "2.0.0"),
            "apiVersion: v2\nversion: 2.0.0\nappVersion: 2.0.0\nkubeVersion: \">=1.34.0-0\"\n"
        );
    }

    #[test]
    fn a_definition_in_the_chart_outlives_its_release() {
        let text = "# Made.\nkind: CustomResourceDefinition\nmetadata:\n  name: agents.steadfast.dev\nspec: {}\n";
        let expected = "# Made.\nkind: CustomResourceDefinition\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n  name: agents.steadfast.dev\nspec: {}\n";
        assert_eq!(kept_on_uninstall(text).unwrap(), expected);
        assert!(kept_on_uninstall("spec: {}\n").is_err());
    }
}

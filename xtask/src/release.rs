//! `cargo xtask release …`: the files of a release. The forge's workflow calls
//! these commands, and then publishes what they made in `target/dist`.
//!
//! The version is that of the workspace (`version` in `Cargo.toml`), for programs,
//! charts and images alike; `cargo xtask generate` writes it into the charts.

mod archive;
mod sbom;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::command::output;
use steadfast_tools::{GoProgram, Kind, files, go_program, hash, workspace};

/// The version of everything in a release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The charts, as directories below `charts`.
pub(crate) const CHARTS: [&str; 2] = ["steadfast-crds", "steadfast"];

const CHECKSUMS: &str = "SHA256SUMS";

#[derive(Debug, Subcommand)]
pub(crate) enum Step {
    /// Prints the version, and fails if a tag is not `v` and this version.
    Version {
        /// The tag that is released.
        #[arg(long)]
        tag: Option<String>,
    },
    /// Builds the programs for this machine, optimised and static, into an archive.
    Archive,
    /// Packs the charts.
    Charts,
    /// Lists every crate in the programs, with version and license, in SPDX 2.3.
    Sbom,
    /// Writes the checksums of all other files.
    Checksums,
}

pub(crate) fn run(step: &Step) -> anyhow::Result<()> {
    let cargo = Cargo::of_this_machine()?;
    let made = match step {
        Step::Version { tag } => {
            check_tag(tag.as_deref())?;
            return print(VERSION);
        }
        Step::Archive => vec![archive::make(&cargo, &dist(&cargo)?)?],
        Step::Charts => pack_charts(&dist(&cargo)?)?,
        Step::Sbom => vec![sbom::write(&cargo, &dist(&cargo)?)?],
        Step::Checksums => vec![write_checksums(&dist(&cargo)?)?],
    };
    made.iter().try_for_each(|path| print(&path.display().to_string()))
}

fn check_tag(tag: Option<&str>) -> anyhow::Result<()> {
    if let Some(tag) = tag {
        ensure!(
            tag.strip_prefix('v') == Some(VERSION),
            "the tag {tag} is not v{VERSION}: change `version` of [workspace.package] in Cargo.toml and run \
             `cargo xtask generate`, or choose the tag v{VERSION}"
        );
    }
    Ok(())
}

/// `target/dist`, made if it is missing.
fn dist(cargo: &Cargo) -> anyhow::Result<PathBuf> {
    let metadata = output(&mut cargo.command(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("read cargo's metadata")?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo names no target directory")?;
    let dist = Path::new(target).join("dist");
    files::create_dir(&dist)?;
    Ok(dist)
}

fn pack_charts(dist: &Path) -> anyhow::Result<Vec<PathBuf>> {
    steadfast_tools::install(&[Kind::Go])?;
    let mut packed = Vec::new();
    for chart in CHARTS {
        let mut helm = Command::new(go_program(GoProgram::Helm)?);
        helm.arg("package")
            .arg(workspace::root().join("charts").join(chart))
            .arg("--destination")
            .arg(dist);
        output(&mut helm)?;
        // Helm takes the version from the chart: another one is an error here.
        let path = dist.join(format!("{chart}-{VERSION}.tgz"));
        ensure!(
            path.is_file(),
            "the chart {chart} has not the version {VERSION}: run `cargo xtask generate`"
        );
        packed.push(path);
    }
    Ok(packed)
}

/// In the form that `sha256sum --check` reads.
fn write_checksums(dist: &Path) -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(dist).with_context(|| format!("list {}", dist.display()))?;
    let mut lines = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", dist.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == CHECKSUMS {
            continue;
        }
        let content = std::fs::read(entry.path()).with_context(|| format!("read {name}"))?;
        lines.push(format!("{}  {name}\n", hash::sha256_hex([content.as_slice()])));
    }
    ensure!(!lines.is_empty(), "there is nothing in {}", dist.display());
    lines.sort_by(|a, b| a.split_once("  ").cmp(&b.split_once("  ")));
    let path = dist.join(CHECKSUMS);
    files::write(&path, &lines.concat())?;
    Ok(path)
}

fn print(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_version_of_the_workspace() {
        check_tag(None).unwrap();
        check_tag(Some(&format!("v{VERSION}"))).unwrap();
        for wrong in [VERSION, "v99.0.0", "main"] {
            assert!(check_tag(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn checksums_are_what_sha256sum_checks() {
        let dist = tempfile::tempdir().unwrap();
        for name in ["b.tgz", "a.tgz"] {
            std::fs::write(dist.path().join(name), name).unwrap();
        }
        write_checksums(dist.path()).unwrap();
        // Its own file is left out the second time.
        let path = write_checksums(dist.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        let mut check = Command::new("sha256sum");
        check.args(["--check", "--strict", CHECKSUMS]).current_dir(dist.path());
        assert_eq!(output(&mut check).unwrap(), "a.tgz: OK\nb.tgz: OK\n");
    }
}

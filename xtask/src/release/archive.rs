//! The programs for this machine in one archive: those that `steadfast dev` needs,
//! which are looked for beside the command, and the license.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::command::output;
use steadfast_tools::{files, workspace};

use super::VERSION;
use crate::build::build;

const PROGRAMS: [&str; 3] = ["steadfast", "steadfast-gateway", "steadfast-worker"];
const TEXTS: [&str; 2] = ["LICENSE", "CHANGELOG.md"];

/// `steadfast-VERSION-TARGET.tar.gz`, with one directory of this name.
pub(super) fn make(cargo: &Cargo, dist: &Path) -> anyhow::Result<PathBuf> {
    let mut arguments = vec!["build", "--locked", "--release", "--bins"];
    arguments.extend(PROGRAMS.iter().flat_map(|program| ["--package", program]));
    let built = build(cargo, &arguments)?;

    let name = format!("steadfast-{VERSION}-{}", cargo.host());
    let directory = dist.with_file_name("dist-content").join(&name);
    files::remove_dir(&directory)?;
    files::create_dir(&directory)?;
    for program in PROGRAMS {
        copy(built.executable(program)?, &directory.join(program))?;
    }
    for text in TEXTS {
        copy(&workspace::root().join(text), &directory.join(text))?;
    }
    let archive = dist.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--gzip").arg("--file").arg(&archive);
    tar.arg("--directory")
        .arg(dist.with_file_name("dist-content"))
        .arg(&name);
    output(&mut tar)?;
    Ok(archive)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("copy {} to {}", from.display(), to.display()))
}

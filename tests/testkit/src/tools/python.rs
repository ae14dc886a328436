//! A Python environment with the clients that tests drive the system with.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::{Stage, pins};
use crate::cache::Cache;
use crate::files;
use crate::process::output;

const NAME: &str = "python";
const PIN: &str = "requirements.txt";

/// Written last: an environment holds its own path and cannot be renamed when
/// it is whole.
const COMPLETE: &str = ".complete";

/// The interpreter of the environment, once installed.
pub fn python() -> anyhow::Result<PathBuf> {
    let folder = pins::cache_folder(&Cache::open()?, NAME, &[PIN])?;
    if !folder.join(COMPLETE).is_file() {
        bail!("the Python environment is not installed yet: run `cargo xtask tools`");
    }
    Ok(folder.join("bin/python"))
}

pub(super) async fn install(cache: &Cache) -> anyhow::Result<Stage> {
    let folder = pins::cache_folder(cache, NAME, &[PIN])?;
    if folder.join(COMPLETE).is_file() {
        return Ok(Stage::already_there("Python environment"));
    }
    Stage::install("Python environment", create(&folder)).await
}

async fn create(folder: &Path) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new("python3");
    command.args(["-m", "venv", "--clear"]).arg(folder);
    output(&mut command).await.context("make a Python environment")?;
    let mut command = tokio::process::Command::new(folder.join("bin/python"));
    command
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"])
        .arg(pins::folder(NAME).join(PIN));
    output(&mut command)
        .await
        .context("install the Python clients with pip")?;
    files::write(&folder.join(COMPLETE), "")
}

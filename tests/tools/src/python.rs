//! A Python environment with the clients that tests drive the system with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::command::output;
use crate::files;
use crate::{Stage, pins};

const NAME: &str = "python";
const PIN: &str = "requirements.txt";

/// Written last: an environment holds its own path and cannot be renamed when
/// it is whole.
const COMPLETE: &str = ".complete";

/// The interpreter of the environment, once installed.
pub fn python() -> anyhow::Result<PathBuf> {
    let directory = pins::cache_dir(&Cache::open()?, NAME, &[PIN])?;
    if !directory.join(COMPLETE).is_file() {
        bail!("the Python environment is not installed yet: run `cargo xtask tools`");
    }
    Ok(directory.join("bin/python"))
}

pub(crate) fn install(cache: &Cache) -> anyhow::Result<Stage> {
    let directory = pins::cache_dir(cache, NAME, &[PIN])?;
    if directory.join(COMPLETE).is_file() {
        return Ok(Stage::already_installed("Python environment"));
    }
    Stage::install("Python environment", || create(NAME, &directory))
}

/// Whether an environment is whole; true of what is none.
pub(crate) fn is_complete(name: &str, directory: &Path) -> bool {
    !name.contains(NAME) || directory.join(COMPLETE).is_file()
}

/// Makes an environment with what the pins of this name list.
pub(crate) fn create(name: &str, directory: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("python3");
    command.args(["-m", "venv", "--clear"]).arg(directory);
    output(&mut command).context("make a Python environment")?;
    let mut command = Command::new(directory.join("bin/python"));
    command
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"])
        .arg(pins::dir(name).join(PIN));
    output(&mut command).context("install the Python clients with pip")?;
    files::write(&directory.join(COMPLETE), "")
}

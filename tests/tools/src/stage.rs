//! How long a stage of the installation took.

use std::fmt;
use std::time::{Duration, Instant};

use crate::progress;

/// Whether a stage had anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    AlreadyInstalled,
    Installed,
}

/// One stage, done.
#[derive(Clone, Debug)]
pub struct Stage {
    pub name: String,
    pub outcome: Outcome,
    pub took: Duration,
}

impl Stage {
    pub(crate) fn already_installed(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome: Outcome::AlreadyInstalled,
            took: Duration::ZERO,
        }
    }

    /// Does the work, with a line on standard error before, during and after it.
    pub(crate) fn install(name: impl Into<String>, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let name = name.into();
        progress::print(&format!("installing {name}"));
        let started = Instant::now();
        progress::during(&name, work)?;
        let stage = Self {
            name,
            outcome: Outcome::Installed,
            took: started.elapsed(),
        };
        progress::print(&stage.to_string());
        Ok(stage)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Outcome::AlreadyInstalled => write!(formatter, "{}: already installed", self.name),
            Outcome::Installed => write!(
                formatter,
                "{}: installed in {}",
                self.name,
                progress::duration(self.took)
            ),
        }
    }
}

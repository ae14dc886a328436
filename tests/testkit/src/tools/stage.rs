//! How long a stage of the installation took.

use std::fmt;
use std::time::{Duration, Instant};

/// Whether a stage had anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    AlreadyThere,
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
    pub(super) fn already_there(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome: Outcome::AlreadyThere,
            took: Duration::ZERO,
        }
    }

    pub(super) async fn install(
        name: impl Into<String>,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Self> {
        let name = name.into();
        tracing::info!("installing {name}");
        let started = Instant::now();
        work.await?;
        let stage = Self {
            name,
            outcome: Outcome::Installed,
            took: started.elapsed(),
        };
        tracing::info!("{stage}");
        Ok(stage)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Outcome::AlreadyThere => write!(formatter, "{}: there", self.name),
            Outcome::Installed => {
                let minutes = self.took.as_secs_f64() / 60.0;
                write!(formatter, "{}: {minutes:.1} minutes", self.name)
            }
        }
    }
}

//! `cargo xtask image`: builds the images and, if asked, loads them into a
//! platform.

use std::io::Write as _;
use std::time::Instant;

use clap::{Args, ValueEnum};
use steadfast_testkit::Platform;
use steadfast_testkit::release::{Profile, Release};
use steadfast_testkit::tools::{self, Kind};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How much the compiler shall optimise.
    #[arg(long, value_enum, default_value = "ci")]
    profile: ProfileArgument,
    /// Loads the images into this platform, which must be up.
    #[arg(long, value_name = "PLATFORM")]
    load: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ProfileArgument {
    /// Quick to build; for tests and the demo.
    Ci,
    /// What users run.
    Release,
}

impl From<ProfileArgument> for Profile {
    fn from(argument: ProfileArgument) -> Self {
        match argument {
            ProfileArgument::Ci => Self::Ci,
            ProfileArgument::Release => Self::Release,
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    tools::install(&[Kind::Debian, Kind::Python, Kind::FakeModel, Kind::McpServer])?;
    let started = Instant::now();
    let release = Release::build(arguments.profile.into()).await?;
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "images are built after {:.1} s",
        started.elapsed().as_secs_f64()
    )?;
    for image in release.images() {
        writeln!(stdout, "  {}  {}", image.reference, image.archive.display())?;
    }
    if let Some(name) = arguments.load {
        release.load_onto(&Platform::find(&name).await?).await?;
        writeln!(stdout, "loaded into platform {name}")?;
    }
    Ok(())
}

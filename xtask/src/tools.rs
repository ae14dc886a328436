//! `cargo xtask tools`: installs what is missing and prints the minutes.

use std::io::Write as _;

use clap::Args;
use steadfast_tools::Kind;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Installs the oldest supported versions of Kubernetes and Helm too.
    #[arg(long)]
    oldest: bool,
    /// Installs the servers of models, and the one that speaks S3, that `cargo xtask test --long` runs too.
    #[arg(long)]
    model_servers: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut stages = steadfast_tools::install(&[Kind::Checks])?;
    stages.extend(steadfast_tools::install(&Kind::ALL)?);
    if arguments.oldest {
        stages.extend(steadfast_tools::install(&[Kind::Oldest])?);
    }
    if arguments.model_servers {
        stages.extend(steadfast_tools::install(&[Kind::ModelServers])?);
    }
    let mut stdout = std::io::stdout().lock();
    for stage in stages {
        writeln!(stdout, "{stage}")?;
    }
    Ok(())
}

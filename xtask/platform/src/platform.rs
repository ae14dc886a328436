//! `cargo xtask platform …`: starts, ends and describes a named platform.

use std::io::Write as _;
use std::time::Instant;

use clap::{Args, Subcommand};
use steadfast_testkit::tools::{self, Kind};
use steadfast_testkit::{NetworkAccess, Platform};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts it, or what is missing of it, and leaves it running.
    Up(Up),
    /// Ends it and leaves nothing behind.
    Down(Name),
    /// Prints what a shell needs to use it: eval "$(cargo xtask platform env)".
    Env(Name),
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    name: Name,
    /// Lets pods reach what this machine reaches; traffic stays inside otherwise.
    #[arg(long)]
    internet: bool,
}

/// Which platform; several can stand side by side.
#[derive(Debug, Args)]
pub(crate) struct Name {
    #[arg(long, default_value = "dev")]
    name: String,
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(Up {
            name: Name { name },
            internet,
        }) => up(&name, internet).await,
        Command::Down(Name { name }) => Platform::down(&name).await,
        Command::Env(Name { name }) => print_variables(&Platform::find(&name).await?),
    }
}

async fn up(name: &str, internet: bool) -> anyhow::Result<()> {
    tools::install(&[Kind::Debian, Kind::Temporal, Kind::Valkey, Kind::Go])?;
    let started = Instant::now();
    let access = if internet {
        NetworkAccess::Internet
    } else {
        NetworkAccess::Platform
    };
    let platform = Platform::up_with_network_access(name, access).await?;
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "platform {name} is up after {:.1} s",
        started.elapsed().as_secs_f64()
    )?;
    writeln!(stdout, "  Kubernetes   {}", platform.control_plane().url())?;
    writeln!(stdout, "  Temporal     {}", platform.temporal().address())?;
    writeln!(
        stdout,
        "  Temporal UI  {}",
        platform.temporal().ui_url().unwrap_or_default()
    )?;
    writeln!(stdout, "  Redis        {}", platform.redis().url())?;
    writeln!(stdout, "use it: eval \"$(cargo xtask platform env --name {name})\"")?;
    Ok(())
}

fn print_variables(platform: &Platform) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for (name, value) in platform.variables()? {
        writeln!(stdout, "export {name}=\"{value}\"")?;
    }
    Ok(())
}

//! `cargo xtask tools`: installs what is missing and prints the minutes.

use std::io::Write as _;

use steadfast_testkit::tools::{self, Kind};

pub async fn run() -> anyhow::Result<()> {
    let stages = tools::install(&Kind::ALL).await?;
    let mut stdout = std::io::stdout().lock();
    for stage in stages {
        writeln!(stdout, "{stage}")?;
    }
    Ok(())
}

//! `cargo xtask tools`: installs what is missing and prints the minutes.

use std::io::Write as _;

use steadfast_tools::Kind;

pub(crate) fn run() -> anyhow::Result<()> {
    let mut stages = steadfast_tools::install(&[Kind::Checks])?;
    stages.extend(steadfast_tools::install(&Kind::ALL)?);
    let mut stdout = std::io::stdout().lock();
    for stage in stages {
        writeln!(stdout, "{stage}")?;
    }
    Ok(())
}

//! `steadfast lint`: checks manifests without a cluster.

mod input;
mod output;

use std::process::ExitCode;

use steadfast_operator::lint::{Severity, lint};

use crate::args::LintArguments;

pub(crate) async fn run(arguments: LintArguments) -> anyhow::Result<ExitCode> {
    let input = input::read(&arguments.paths, arguments.recursive)?;
    let report = lint(&input.manifests, &arguments.namespace).await?;
    let rows = output::rows(&input.unreadable, &report);
    output::print(report.checked, &rows, arguments.output)?;
    let fails = |severity| arguments.strict || severity == Severity::Error;
    Ok(if rows.iter().any(|row| fails(row.severity)) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

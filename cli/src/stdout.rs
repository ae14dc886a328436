//! Writes results to standard output, at once.

use std::io::Write as _;

use serde::Serialize;
use steadfast_crds::yaml;

use crate::args::Structured;

/// Prints a text as it is.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Prints a value for programs.
pub(crate) fn print_structured(format: Structured, value: &impl Serialize) -> anyhow::Result<()> {
    match format {
        Structured::Json => print_json(value),
        Structured::Yaml => print(&yaml::to_string(value)?),
    }
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

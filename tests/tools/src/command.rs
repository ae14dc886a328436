//! Runs programs to their end.

use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail, ensure};

/// Runs a program without input and returns its standard output. On failure
/// the error holds everything that it printed.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {shown}"))?;
    stdout(&shown, &output)
}

/// The standard output of a program that has ended; an error if it failed.
pub fn stdout(shown: &str, output: &Output) -> anyhow::Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{shown} failed ({}): {}\n{}",
            output.status,
            stdout.trim(),
            stderr.trim()
        );
    }
    Ok(stdout)
}

/// Runs a program that prints to the terminal of this one.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("start {shown}"))?;
    ensure!(status.success(), "{shown} failed ({status})");
    Ok(())
}

/// The command line as one would type it, without variables.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

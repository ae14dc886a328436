//! Tells what is done, and how long after the start.

use std::io::Write as _;
use std::time::Instant;

pub(super) struct Progress {
    started: Instant,
}

impl Progress {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    pub(super) fn print(&self, text: &str) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        Ok(writeln!(
            stdout,
            "[{:6.1} s] {text}",
            self.started.elapsed().as_secs_f64()
        )?)
    }
}

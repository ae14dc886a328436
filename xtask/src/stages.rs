//! The stages of a long command: a line when one begins, and the minutes of
//! each at the end, also of a run that fails.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use steadfast_tools::progress::{duration, print};

pub(crate) struct Stages {
    started: Instant,
    done: Vec<(&'static str, Duration)>,
}

impl Stages {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Runs one stage. Its name is in the error when it fails.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        stage: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        print(&format!("[{}] {name}", duration(self.started.elapsed())));
        let started = Instant::now();
        let result = stage();
        self.done.push((name, started.elapsed()));
        result.with_context(|| format!("stage {name:?}"))
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        for (name, took) in &self.done {
            print(&format!("{:>10}  {name}", duration(*took)));
        }
        print(&format!("{:>10}  in all", duration(self.started.elapsed())));
    }
}

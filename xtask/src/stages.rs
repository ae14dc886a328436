//! The stages of a long command: a line when one begins, and the minutes of
//! each at the end, also of a run that fails.

use std::fmt::Display;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use steadfast_tools::progress::{duration, print};

pub(crate) struct Stages {
    started: Instant,
    done: Vec<Done>,
}

struct Done {
    name: &'static str,
    took: Duration,
    /// It ran while others did, so the minutes of all add up to more than the whole.
    beside_others: bool,
    /// What it did, a line each.
    details: Vec<String>,
}

/// A stage that runs while others do.
pub(crate) struct Beside<'scope, T> {
    name: &'static str,
    thread: ScopedJoinHandle<'scope, (anyhow::Result<T>, Duration)>,
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
        self.announce(name);
        let (result, took) = timed(stage);
        self.add(name, took, false);
        result.with_context(|| format!("stage {name:?}"))
    }

    /// Begins a stage that runs beside those that follow. The scope waits for it when one of them fails.
    pub(crate) fn begin<'scope, T: Send + 'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        name: &'static str,
        stage: impl FnOnce() -> anyhow::Result<T> + Send + 'scope,
    ) -> Beside<'scope, T> {
        self.announce(&format!("{name}, beside what follows"));
        let thread = scope.spawn(|| timed(stage));
        Beside { name, thread }
    }

    /// Waits for a stage that was begun.
    pub(crate) fn wait<T>(&mut self, stage: Beside<'_, T>) -> anyhow::Result<T> {
        let Beside { name, thread } = stage;
        if !thread.is_finished() {
            self.announce(&format!("waiting for {name}"));
        }
        let Ok((result, took)) = thread.join() else {
            anyhow::bail!("stage {name:?} panicked");
        };
        self.add(name, took, true);
        result.with_context(|| format!("stage {name:?}"))
    }

    /// Adds what the last stage did to the list at the end.
    pub(crate) fn detail(&mut self, lines: impl IntoIterator<Item = impl Display>) {
        if let Some(last) = self.done.last_mut() {
            last.details.extend(lines.into_iter().map(|line| line.to_string()));
        }
    }

    fn announce(&self, text: &str) {
        print(&format!("[{}] {text}", duration(self.started.elapsed())));
    }

    fn add(&mut self, name: &'static str, took: Duration, beside_others: bool) {
        self.done.push(Done {
            name,
            took,
            beside_others,
            details: Vec::new(),
        });
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        for stage in &self.done {
            let beside = if stage.beside_others { ", beside others" } else { "" };
            print(&format!("{:>10}  {}{beside}", duration(stage.took), stage.name));
            for detail in &stage.details {
                print(&format!("{:>10}  - {detail}", ""));
            }
        }
        print(&format!("{:>10}  in all", duration(self.started.elapsed())));
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

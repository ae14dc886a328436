//! A sign of life while something takes longer than a second: a spinner on
//! standard error, if that is a terminal.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

/// What is faster needs no sign.
const DELAY: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// The spinner that is shown.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Waits for `work`; `what` says what it is, without a full stop.
pub(crate) async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        result = &mut work => return result,
        () = sleep(DELAY) => {}
    }
    let _spinner = Spinner::show(what);
    work.await
}

/// Lets something else be printed above the spinner, if one is shown.
pub(crate) fn above<T>(print: impl FnOnce() -> T) -> T {
    let shown = shown().clone();
    match shown {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shown until it is dropped. Nothing is shown where standard error is no terminal.
struct Spinner(ProgressBar);

impl Spinner {
    fn show(what: &str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        *shown() = Some(bar.clone());
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        *shown() = None;
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_result_of_the_work_is_returned_whether_it_is_fast_or_slow() {
        assert_eq!(during("wait", async { 1 }).await, 1);
        let slow = async {
            sleep(DELAY + TICK).await;
            2
        };
        assert_eq!(during("wait", slow).await, 2);
    }
}

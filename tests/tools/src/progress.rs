//! Progress on standard error, so that no step is silent for long. Standard
//! output belongs to results.

use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(30);

/// Prints one line.
pub fn print(text: &str) {
    // Nobody is left to tell if this fails.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Does the work, and prints every 30 s that it is still being done.
pub fn during<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let (running, stopped) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let started = Instant::now();
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                print(&format!("{name}: {} so far", duration(started.elapsed())));
            }
        });
        // Moved in, so that a panic of the work ends the thread too.
        let _running = running;
        work()
    })
}

/// For example `12 s` or `1.5 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.1} min", seconds / 60.0)
    }
}

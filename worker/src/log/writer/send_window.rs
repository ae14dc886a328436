//! When a writer may send. All writers of a process share Redis, so they share the measure of how fast it answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Longest time for which events are gathered.
pub(super) const LONGEST_WINDOW: Duration = Duration::from_millis(30);
/// Share of the newest round trip in the smoothed one, as its inverse.
const SMOOTHING: u64 = 8;

/// How long the writers of a process gather between two sends.
///
/// Each writer leaves one smoothed round trip per writer between its sends, so that all of them together keep about one
/// call in flight. A writer that is alone sends as soon as its call before has been answered.
#[derive(Clone, Debug, Default)]
pub(super) struct SendWindow {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    writers: AtomicUsize,
    round_trip_microseconds: AtomicU64,
}

/// Counts a writer for as long as it lives.
pub(super) struct WindowMember {
    window: SendWindow,
}

impl SendWindow {
    pub(super) fn join(&self) -> WindowMember {
        self.shared.writers.fetch_add(1, Ordering::Relaxed);
        WindowMember { window: self.clone() }
    }

    /// Time from one send of a writer to its next.
    pub(super) fn window(&self) -> Duration {
        let writers = u32::try_from(self.shared.writers.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let round_trip = Duration::from_micros(self.shared.round_trip_microseconds.load(Ordering::Relaxed));
        round_trip.saturating_mul(writers).min(LONGEST_WINDOW)
    }

    pub(super) fn answered(&self, after: Duration) {
        let newest = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let smoothed = &self.shared.round_trip_microseconds;
        // Two writers that do this at once lose one measurement.
        let before = smoothed.load(Ordering::Relaxed);
        let next = if before == 0 {
            newest
        } else {
            before - before / SMOOTHING + newest / SMOOTHING
        };
        smoothed.store(next, Ordering::Relaxed);
    }
}

impl WindowMember {
    pub(super) fn shared(&self) -> &SendWindow {
        &self.window
    }
}

impl Drop for WindowMember {
    fn drop(&mut self) {
        self.window.shared.writers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_with_the_round_trip_and_the_writers_up_to_its_bound() {
        let window = SendWindow::default();
        let one = window.join();
        assert_eq!(window.window(), Duration::ZERO);
        window.answered(Duration::from_micros(800));
        assert_eq!(window.window(), Duration::from_micros(800));
        let more: Vec<WindowMember> = (0..9).map(|_| window.join()).collect();
        assert_eq!(window.window(), Duration::from_millis(8));
        for _ in 0..100 {
            window.answered(Duration::from_secs(2));
        }
        assert_eq!(window.window(), LONGEST_WINDOW);
        drop(more);
        for _ in 0..200 {
            window.answered(Duration::from_millis(1));
        }
        assert!(window.window() < Duration::from_micros(1_100), "{:?}", window.window());
        drop(one);
    }
}

//! What this worker has to do. The operator asks on the admin port before it scales to zero.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use steadfast_contract::work::Work;

/// Counts the turns that are under way in memory.
type CountTurns = Box<dyn Fn() -> usize + Send + Sync>;

/// Counts what runs. Clones share their counts.
#[derive(Clone, Default)]
pub(crate) struct WorkMeter(Arc<Inner>);

#[derive(Default)]
struct Inner {
    activities: Mutex<Activities>,
    /// The workflows in memory; there are none before the worker has connected.
    turns: OnceLock<CountTurns>,
}

struct Activities {
    running: u32,
    /// When the last one ended, or a turn was last seen.
    idle_since: Instant,
}

impl Default for Activities {
    fn default() -> Self {
        Self {
            running: 0,
            idle_since: Instant::now(),
        }
    }
}

/// An activity that runs until this is dropped.
pub(crate) struct RunningActivity(Arc<Inner>);

impl WorkMeter {
    /// An activity begins.
    pub(crate) fn begin(&self) -> RunningActivity {
        let mut activities = self.0.lock();
        activities.running = activities.running.saturating_add(1);
        RunningActivity(self.0.clone())
    }

    /// Counts the turns with this from now on.
    pub(crate) fn count_turns_by(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        // A worker has one cache of tasks.
        let _ = self.0.turns.set(Box::new(count));
    }

    /// What there is to do now.
    pub(crate) fn report(&self) -> Work {
        let turns = self.0.turns.get().map_or(0, |count| count());
        self.report_at(turns, Instant::now())
    }

    fn report_at(&self, turns: usize, now: Instant) -> Work {
        let mut activities = self.0.lock();
        if turns > 0 || activities.running > 0 {
            activities.idle_since = now;
        }
        Work {
            activities: activities.running,
            turns: u32::try_from(turns).unwrap_or(u32::MAX),
            idle_seconds: now.saturating_duration_since(activities.idle_since).as_secs(),
        }
    }
}

impl fmt::Debug for WorkMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkMeter").field(&self.0.lock().running).finish()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Activities> {
        self.activities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunningActivity {
    fn drop(&mut self) {
        let mut activities = self.0.lock();
        activities.running = activities.running.saturating_sub(1);
        activities.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_worker_is_idle_since_its_last_activity_and_its_last_turn() {
        let meter = WorkMeter::default();
        let first = meter.begin();
        let second = meter.begin();
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        drop(first);
        let work = meter.report_at(0, later(60));
        assert_eq!((work.activities, work.idle_seconds), (1, 0), "the second still runs");
        drop(second);
        let work = meter.report_at(0, later(100));
        assert_eq!(work.activities, 0);
        assert!((99..=100).contains(&work.idle_seconds), "{work:?}");
        let turn = later(200);
        assert_eq!(meter.report_at(3, turn).turns, 3);
        let after = meter.report_at(0, turn + Duration::from_secs(30));
        assert_eq!((after.turns, after.idle_seconds), (0, 30));
    }
}

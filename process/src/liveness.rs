//! Knows which parts of a program make progress. A part beats; when it has not
//! beaten for too long, the liveness probe fails and the program is restarted.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::MissedTickBehavior;

/// The pause between two beats.
const PERIOD: Duration = Duration::from_secs(5);
/// How long a part may be silent. Much longer than the period, for a machine that is out of CPU time for a while.
const LIMIT: Duration = Duration::from_mins(1);

/// The parts of one process that must make progress. Cheap to clone; clones share state.
#[derive(Clone, Debug)]
pub struct Liveness {
    last_beats: Arc<Mutex<BTreeMap<String, Instant>>>,
    limit: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl Liveness {
    pub(crate) fn with_limit(limit: Duration) -> Self {
        Self {
            last_beats: Arc::default(),
            limit,
        }
    }

    /// Adds a part; it counts until the heartbeat is dropped.
    pub fn register(&self, part: impl Into<String>) -> Heartbeat {
        let heartbeat = Heartbeat {
            part: part.into(),
            liveness: self.clone(),
        };
        heartbeat.beat();
        heartbeat
    }

    /// The parts that have been silent for too long.
    pub fn stuck(&self) -> Vec<String> {
        self.stuck_at(Instant::now())
    }

    fn stuck_at(&self, now: Instant) -> Vec<String> {
        let last_beats = self.lock();
        let silent = |last: &Instant| now.duration_since(*last) > self.limit;
        let stuck = last_beats.iter().filter(|(_, last)| silent(last));
        stuck.map(|(part, _)| part.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.last_beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One part, held by the task that does its work.
#[derive(Debug)]
pub struct Heartbeat {
    part: String,
    liveness: Liveness,
}

impl Heartbeat {
    /// Does `work` and beats meanwhile, in the same task: work that blocks the thread or never yields stops the beats.
    pub async fn beat_during<W: Future>(self, work: W) -> W::Output {
        self.beat_every(PERIOD, work).await
    }

    async fn beat_every<W: Future>(self, period: Duration, work: W) -> W::Output {
        let mut work = pin!(work);
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                output = &mut work => return output,
                _ = ticks.tick() => self.beat(),
            }
        }
    }

    fn beat(&self) {
        self.liveness.lock().insert(self.part.clone(), Instant::now());
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.liveness.lock().remove(&self.part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_stuck_when_it_has_not_beaten_for_a_minute() {
        let liveness = Liveness::default();
        let before = Instant::now();
        let heartbeat = liveness.register("controller");
        let after = Instant::now();
        assert_eq!(liveness.stuck_at(before + LIMIT), [""; 0]);
        assert_eq!(liveness.stuck_at(after + LIMIT + PERIOD), ["controller"]);
        drop(heartbeat);
        assert_eq!(liveness.stuck_at(after + LIMIT + PERIOD), [""; 0]);
    }

    #[tokio::test]
    async fn work_that_waits_beats() {
        let liveness = Liveness::default();
        let last = liveness.clone();
        let last = move || last.lock().get("controller").copied();
        let heartbeat = liveness.register("controller");
        let first = last();
        let period = Duration::from_millis(1);
        let later = heartbeat.beat_every(period, async {
            while last() == first {
                tokio::task::yield_now().await;
            }
            last()
        });
        assert!(later.await > first);
        assert_eq!(last(), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_that_blocks_its_thread_does_not_beat() {
        let liveness = Liveness::default();
        let last = |liveness: &Liveness| liveness.lock().get("controller").copied();
        let period = Duration::from_millis(1);
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (unblock, blocked) = std::sync::mpsc::channel::<()>();
        let work = async move {
            let _ = started.send(());
            let _ = blocked.recv();
        };
        let task = tokio::spawn(liveness.register("controller").beat_every(period, work));
        has_started.await.unwrap();
        let before = last(&liveness);
        let mut ticks = tokio::time::interval(period);
        for _ in 0..50 {
            ticks.tick().await;
        }
        assert!(before.is_some());
        assert_eq!(last(&liveness), before);
        unblock.send(()).unwrap();
        task.await.unwrap();
        assert_eq!(last(&liveness), None);
    }
}

//! What the agents do, for the page of the fleet: turns, failures, tokens and times of the last hours, in the memory of
//! this process. Each replica counts the turns of the messages that clients sent through it, so that no turn is counted
//! twice; a restart begins anew. The metrics of the workers have the whole, for whoever runs Prometheus.

mod activity;
mod histogram;
mod own_turns;
mod series;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use steadfast_eventlog::{LogItem, LogReader, reader::From};
use steadfast_events::LogId;
use tokio::time::{Instant, timeout};

pub(crate) use self::activity::{Activity, TaskCounts};
use self::own_turns::OwnTurns;
pub(crate) use self::series::{Figures, INTERVAL, INTERVALS, Sample, Series, begin_of};
use crate::agents::AgentName;

/// Tasks whose logs are read for the figures, at a time. The reader keeps some 20 KiB for each.
const MAX_TASKS: usize = 512;
/// How long the acceptance of a message is waited for. A task without a worker accepts none.
const ACCEPTANCE_LIMIT: Duration = Duration::from_mins(10);
/// How long a log may be silent while a turn runs, before its end is no longer waited for.
const SILENCE_LIMIT: Duration = Duration::from_hours(2);

/// How often it is looked whether a silent log is still worth reading: a message that could not be sent is none.
const CHECK_PERIOD: Duration = Duration::from_secs(30);

/// The figures of one process; clones share them.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    reader: LogReader,
    series: Mutex<Series>,
    /// The tasks with turns that are waited for, by their logs.
    tasks: Mutex<HashMap<LogId, Followed>>,
    /// The tasks that ran or waited when Temporal was asked, by id; absent before the first answer.
    counted: Mutex<Option<HashMap<String, (AgentName, Activity)>>>,
    /// Messages whose turns are not counted.
    uncounted: AtomicU64,
    since: Timestamp,
}

/// A task with turns that are waited for.
struct Followed {
    agent: AgentName,
    own: Arc<Mutex<OwnTurns>>,
}

/// A message that is about to be sent. It is not waited for if the value is dropped before it was sent.
#[must_use]
pub(crate) struct Expected {
    followed: Option<(Arc<Mutex<OwnTurns>>, String)>,
}

impl Fleet {
    /// Without figures.
    pub fn new(reader: LogReader) -> Self {
        Self(Arc::new(Shared {
            reader,
            series: Mutex::default(),
            tasks: Mutex::default(),
            counted: Mutex::default(),
            uncounted: AtomicU64::new(0),
            since: Timestamp::now(),
        }))
    }

    /// Since when this process counts.
    pub(crate) fn since(&self) -> Timestamp {
        self.0.since
    }

    /// Messages whose turns are not counted: too many ran at a time, or their logs could not be read.
    pub(crate) fn uncounted(&self) -> u64 {
        self.0.uncounted.load(Ordering::Relaxed)
    }

    pub(crate) fn series(&self) -> MutexGuard<'_, Series> {
        lock(&self.0.series)
    }

    /// The tasks that run or wait now, as Temporal's visibility has them.
    pub(crate) fn set_tasks(&self, tasks: HashMap<String, (AgentName, Activity)>) {
        *lock(&self.0.counted) = Some(tasks);
    }

    /// How many tasks of each agent run or wait for people; `None` until it is known. Visibility is late, and knows
    /// nothing of short turns: those of the messages that came through this gateway are counted as they are.
    pub(crate) fn task_counts(&self) -> Option<HashMap<AgentName, TaskCounts>> {
        let mut now = lock(&self.0.counted).clone()?;
        for (log, followed) in lock(&self.0.tasks).iter() {
            if let Some(activity) = lock(&followed.own).activity() {
                now.insert(log.task_id.clone(), (followed.agent.clone(), activity));
            }
        }
        Some(activity::counts(now.into_values()))
    }

    /// Counts the turn of a message that is about to be sent to a task of this agent. The reading begins while the
    /// message is on its way, so that sending takes no longer: the task accepts it later than Redis answers.
    pub(crate) fn expect(&self, agent: &AgentName, log: &LogId, message_id: &str) -> Expected {
        self.expect_from(agent, log, message_id, From::Tail)
    }

    /// The same of the message with which a task has begun.
    pub(crate) fn expect_first(&self, agent: &AgentName, log: &LogId, message_id: &str) {
        self.expect_from(agent, log, message_id, From::Beginning).sent();
    }

    fn expect_from(&self, agent: &AgentName, log: &LogId, message_id: &str, from: From) -> Expected {
        let mut tasks = lock(&self.0.tasks);
        let is_new = !tasks.contains_key(log);
        if is_new && tasks.len() >= MAX_TASKS {
            return self.not_followed();
        }
        let followed = tasks.entry(log.clone()).or_insert_with(|| Followed {
            agent: agent.clone(),
            own: Arc::default(),
        });
        let own = followed.own.clone();
        if !lock(&own).expect(message_id) {
            return self.not_followed();
        }
        drop(tasks);
        if is_new {
            tokio::spawn(
                self.clone()
                    .follow(agent.namespace.clone(), log.clone(), from, own.clone()),
            );
        }
        Expected {
            followed: Some((own, message_id.to_owned())),
        }
    }

    fn not_followed(&self) -> Expected {
        self.0.uncounted.fetch_add(1, Ordering::Relaxed);
        Expected { followed: None }
    }

    /// Reads a log until no turn of it is waited for.
    async fn follow(self, namespace: String, log: LogId, from: From, own: Arc<Mutex<OwnTurns>>) {
        let subscription = self.0.reader.subscribe(&log, from).await;
        let Ok(mut subscription) = subscription else {
            return self.give_up(&log, &own);
        };
        let mut silent_since = Instant::now();
        loop {
            match timeout(CHECK_PERIOD, subscription.next()).await {
                Ok(Some(item)) => {
                    silent_since = Instant::now();
                    self.take(&namespace, &own, &item);
                }
                Err(_) if silent_since.elapsed() < silence_limit(&own) => {}
                Ok(None) | Err(_) => return self.give_up(&log, &own),
            }
            // Whoever sends a message holds the same lock, and finds the task followed or not.
            let mut tasks = lock(&self.0.tasks);
            if lock(&own).are_over() {
                tasks.remove(&log);
                // What Temporal said of it is older than the end of its turn.
                if let Some(counted) = lock(&self.0.counted).as_mut() {
                    counted.remove(&log.task_id);
                }
                return;
            }
        }
    }

    fn take(&self, namespace: &str, own: &Mutex<OwnTurns>, item: &LogItem) {
        match item {
            LogItem::Entry(entry) => {
                let observed = lock(own).observe(&entry.event);
                if let Some((agent, sample)) = observed {
                    let agent = AgentName::new(namespace, agent);
                    self.series().record(&agent, Timestamp::now(), sample);
                }
            }
            LogItem::Reset(_) => lock(own).forget_beginnings(),
        }
    }

    fn give_up(&self, log: &LogId, own: &Mutex<OwnTurns>) {
        let mut tasks = lock(&self.0.tasks);
        tasks.remove(log);
        let lost = u64::try_from(lock(own).count()).unwrap_or(u64::MAX);
        self.0.uncounted.fetch_add(lost, Ordering::Relaxed);
    }
}

impl Expected {
    /// The message was sent, or may have been.
    pub(crate) fn sent(mut self) {
        self.followed = None;
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if let Some((own, message_id)) = self.followed.take() {
            lock(&own).forget(&message_id);
        }
    }
}

fn silence_limit(own: &Mutex<OwnTurns>) -> Duration {
    if lock(own).are_accepted() {
        SILENCE_LIMIT
    } else {
        ACCEPTANCE_LIMIT
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

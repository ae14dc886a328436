//! Brings Temporal in line with the board, whenever something on it changed,
//! and again after a while when that failed. Never ends by itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use steadfast_temporal::TemporalError;

use crate::{
    agent_controller::{context::Context, run::AgentQueue},
    cache::ObjectKey,
    schedules::{
        board::{Board, Progress},
        desired::Desired,
        plan::{Change, Existence, Task, plan},
        temporal::{Error, ScheduleClient},
    },
    watch::Scope,
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// One keeper for one scope.
pub struct Keeper {
    /// Asks Temporal.
    pub client: ScheduleClient,
    /// Part of every schedule's id.
    pub install: String,
    /// Whose Agents it knows.
    pub scope: Scope,
    /// What is wanted.
    pub board: Arc<Board>,
    /// Wakes Agents whose status has something new to say.
    pub queue: AgentQueue,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Everything that can be done is.
    Done,
    /// Something is worth trying again.
    Unfinished,
}

impl Keeper {
    /// Works until dropped.
    pub async fn run(self, context: Arc<Context>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.round(&context).await {
                Round::Done => {
                    pause = FIRST_PAUSE;
                    self.board.wait_for_news().await;
                }
                Round::Unfinished => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn round(&self, context: &Context) -> Round {
        let wanted = self.board.wanted();
        let exists = |agent: &ObjectKey| match &self.scope {
            Scope::Namespace(own) if *own != agent.namespace => Existence::Possible,
            _ if context.caches.agent(agent).is_some() => Existence::Possible,
            _ => Existence::Gone,
        };
        let planned = match self.client.list(&self.install).await {
            Ok(standing) => plan(&self.install, &standing, &wanted, exists).map_err(Error::from),
            Err(error) => Err(error),
        };
        let tasks = match planned {
            Ok(tasks) => tasks,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "schedules cannot be looked at now");
                self.tell(&wanted, |_| Progress::Unavailable);
                return Round::Unfinished;
            }
        };
        let mut failed = BTreeMap::new();
        for task in tasks {
            if let Err(error) = self.apply(&task).await {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(schedule = task.id, error = cause, "a schedule was not brought in line");
                let progress = match &error {
                    Error::Temporal(TemporalError::Refused(why)) => {
                        Progress::Refused(format!("schedule {}: {why}", task.id))
                    }
                    _ => Progress::Unavailable,
                };
                failed.insert(task.agent, progress);
            }
        }
        self.tell(&wanted, |agent| failed.get(agent).cloned().unwrap_or(Progress::Synced));
        if failed.values().any(|progress| *progress == Progress::Unavailable) {
            Round::Unfinished
        } else {
            Round::Done
        }
    }

    async fn apply(&self, task: &Task) -> Result<(), Error> {
        match &task.change {
            Change::Create(schedule) => self.client.create(&task.id, schedule).await,
            Change::Update(schedule) => self.client.update(&task.id, schedule).await,
            Change::Delete => self.client.delete(&task.id).await,
        }
    }

    fn tell(&self, wanted: &BTreeMap<ObjectKey, Desired>, progress: impl Fn(&ObjectKey) -> Progress) {
        self.queue.wake(self.board.record(wanted, progress));
    }
}

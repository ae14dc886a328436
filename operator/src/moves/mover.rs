//! Tells the tasks of Agents that have moved where their workers are now, and counts those that still run on earlier
//! workers. Each Agent has passes of its own, so that one with many tasks does not hold up the others. Never ends by
//! itself.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::{StreamExt as _, stream::FuturesUnordered};
use steadfast_contract::signals::AgentMoved;
use steadfast_temporal::TemporalError;

use crate::{
    kube::namespaced_name::NamespacedName,
    moves::state::{Move, Moves, Progress},
    rate_limit::RateLimit,
    tasks::{OpenTasks, TaskSet, client::TaskClient},
};

/// How often the tasks of Agents that refer to the moved one are told: one that began at the time of the move is listed a
/// moment later. Later ones begin with a revision that knows of it.
const REFERRING_PASSES: u32 = 2;
/// How many passes in a row must find no task on earlier workers, for the same reason.
const EMPTY_PASSES: u32 = 2;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The mover of one watch scope.
pub(crate) struct Mover<W> {
    /// Client of Temporal.
    pub(crate) client: TaskClient,
    /// The moves.
    pub(crate) moves: Arc<Moves>,
    /// The rate of requests.
    pub(crate) rate: Arc<RateLimit>,
    /// Reconciles Agents whose tasks have moved.
    pub(crate) wake: W,
}

impl<W: Fn(Vec<NamespacedName>)> Mover<W> {
    /// Works until dropped.
    pub(crate) async fn run(self) {
        let mut underway = FuturesUnordered::new();
        let mut known: Vec<Move> = Vec::new();
        loop {
            for wanted in self.moves.wanted() {
                if !known.contains(&wanted) {
                    known.push(wanted.clone());
                    underway.push(self.move_tasks(wanted));
                }
            }
            tokio::select! {
                Some(ended) = underway.next(), if !underway.is_empty() => known.retain(|wanted| *wanted != ended),
                () = self.moves.changed() => {}
            }
        }
    }

    /// Makes passes until the move is no longer wanted, and returns it.
    async fn move_tasks(&self, wanted: Move) -> Move {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times();
        let mut pause = pauses.build();
        let (mut complete, mut empty) = (0_u32, 0_u32);
        while self.moves.is_wanted(&wanted) {
            let found = match self.pass(&wanted, complete).await {
                Ok(left) => {
                    complete = complete.saturating_add(1);
                    empty = if left.counted == 0 { empty.saturating_add(1) } else { 0 };
                    if empty >= EMPTY_PASSES && complete >= REFERRING_PASSES {
                        Progress::Moved
                    } else {
                        Progress::Left(left)
                    }
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(agent = %wanted.agent, error, "cannot move the tasks of the Agent; trying again");
                    Progress::Unknown
                }
            };
            if self.moves.record(&wanted, found) {
                (self.wake)(vec![wanted.agent.clone()]);
            }
            tokio::time::sleep(pause.next().unwrap_or(LONGEST_PAUSE)).await;
        }
        wanted
    }

    /// Tells every task once. Returns those that were on earlier workers then.
    async fn pass(&self, wanted: &Move, number: u32) -> Result<OpenTasks, TemporalError> {
        if number < REFERRING_PASSES {
            for tasks in &wanted.referring {
                self.tell(wanted, tasks).await?;
            }
        }
        let mut left = OpenTasks::default();
        for tasks in &wanted.own {
            left.counted += self.tell(wanted, tasks).await?;
        }
        Ok(left)
    }

    /// Tells all tasks of a set. Returns their number.
    async fn tell(&self, wanted: &Move, tasks: &TaskSet) -> Result<usize, TemporalError> {
        let moved = AgentMoved {
            namespace: wanted.agent.namespace.clone(),
            agent: wanted.agent.name.clone(),
            task_queue: wanted.to.clone(),
        };
        // A run takes a signal with an id once: another pass, or another operator, repeats nothing.
        let request_id = format!("{}/moved/{}", wanted.uid, wanted.after);
        let (mut told, mut token) = (0, Vec::new());
        loop {
            self.rate.permit().await;
            let page = self.client.list(tasks, token).await?;
            for task in &page.tasks {
                self.rate.permit().await;
                if !self.moves.is_wanted(wanted) {
                    return Ok(told);
                }
                match self.client.tell_moved(&task.id, &moved, &request_id).await {
                    Ok(()) => {}
                    // A fault of this task, which must not hold up the others.
                    Err(TemporalError::Refused(reason)) => {
                        tracing::warn!(task = task.id, agent = %wanted.agent, reason, "Temporal refuses to move the task");
                    }
                    Err(error) => return Err(error),
                }
            }
            told += page.tasks.len();
            token = page.next_token;
            if token.is_empty() {
                return Ok(told);
            }
        }
    }
}

//! The Agents that are moving, and how far their tasks are. Reconciliations write which moves there are, the mover writes
//! what it found; neither waits for the other.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    kube::namespaced_name::NamespacedName,
    tasks::{OpenTasks, TaskSet},
};

/// One move of an Agent to other workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    /// The Agent.
    pub(crate) agent: NamespacedName,
    /// Its uid.
    pub(crate) uid: String,
    /// The last revision that was made for the earlier workers. Another move of the Agent has another one.
    pub(crate) after: i64,
    /// Task queue of its workers now.
    pub(crate) to: String,
    /// Its tasks that run on earlier workers: all are to go.
    pub(crate) own: Vec<TaskSet>,
    /// The tasks of the Agents that refer to it. They stay where they are, and may have been handed off to it.
    pub(crate) referring: Vec<TaskSet>,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not every task has been told, or Temporal cannot be asked.
    #[default]
    Unknown,
    /// Every task was told, and so many run on earlier workers.
    Left(OpenTasks),
    /// Every task was told, and none is left.
    Moved,
}

/// The Agents that are moving.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    entries: Mutex<BTreeMap<NamespacedName, (Move, Progress)>>,
    changed: Notify,
}

impl Moves {
    /// Moves the tasks of an Agent from now on. Returns how far it is; `None` for a move that begins.
    pub(crate) fn want(&self, wanted: Move) -> Option<Progress> {
        let mut entries = self.lock();
        if let Some((known, progress)) = entries.get(&wanted.agent)
            && *known == wanted
        {
            return Some(*progress);
        }
        entries.insert(wanted.agent.clone(), (wanted, Progress::default()));
        drop(entries);
        self.changed.notify_one();
        None
    }

    /// How far the move of an Agent is; `None` if it is not moving.
    pub(crate) fn progress(&self, agent: &NamespacedName) -> Option<Progress> {
        self.lock().get(agent).map(|(_, progress)| *progress)
    }

    /// Forgets an Agent that is not moving. True if it was.
    pub(crate) fn forget(&self, agent: &NamespacedName) -> bool {
        self.lock().remove(agent).is_some()
    }

    /// The moves that are wanted now.
    pub(super) fn wanted(&self) -> Vec<Move> {
        self.lock().values().map(|(wanted, _)| wanted.clone()).collect()
    }

    /// Whether a move is still wanted.
    pub(super) fn is_wanted(&self, wanted: &Move) -> bool {
        self.lock().get(&wanted.agent).is_some_and(|(known, _)| known == wanted)
    }

    /// Records what the mover found. True if it is new.
    pub(super) fn record(&self, wanted: &Move, found: Progress) -> bool {
        let mut entries = self.lock();
        let entry = entries.get_mut(&wanted.agent).filter(|(known, _)| known == wanted);
        let Some((_, progress)) = entry else { return false };
        std::mem::replace(progress, found) != found
    }

    /// Returns when another move is wanted than at the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, (Move, Progress)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moving(after: i64) -> Move {
        Move {
            agent: NamespacedName::new("team", "desk"),
            uid: "u".to_owned(),
            after,
            to: "demo/team/pool/shared".to_owned(),
            own: Vec::new(),
            referring: Vec::new(),
        }
    }

    #[test]
    fn the_next_move_of_an_agent_begins_anew_and_what_was_found_of_the_first_does_not_count() {
        let moves = Moves::default();
        let (first, second) = (moving(1), moving(5));
        assert_eq!(moves.want(first.clone()), None);
        assert!(moves.record(&first, Progress::Moved));
        assert!(!moves.record(&first, Progress::Moved));
        assert_eq!(moves.want(first.clone()), Some(Progress::Moved));

        assert_eq!(moves.want(second.clone()), None);
        assert!(!moves.is_wanted(&first) && moves.is_wanted(&second));
        assert!(!moves.record(&first, Progress::Moved));
        assert_eq!(moves.progress(&second.agent), Some(Progress::Unknown));
        assert!(moves.forget(&second.agent));
        assert!(!moves.forget(&second.agent));
        assert_eq!(moves.wanted(), []);
    }

    #[tokio::test]
    async fn another_move_wakes_the_mover_and_a_repetition_does_not() {
        let moves = Moves::default();
        moves.want(moving(1));
        moves.changed().await;
        moves.want(moving(1));
        let again = tokio::time::timeout(std::time::Duration::ZERO, moves.changed()).await;
        assert!(again.is_err());
    }
}

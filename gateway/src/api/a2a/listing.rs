//! `ListTasks`: the turns of the conversations that the caller may see with one agent, the latest status first.
//!
//! Nothing keeps a table of turns: they are read from the logs of the newest conversations, within a bound.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use a2a_types::{ListTasksRequest, ListTasksResponse, Task, TaskState};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use steadfast_eventlog::Entry;
use steadfast_events::{Author, EntryId, Event, EventKind, Message};

use super::operations::{Call, head_of, history_length, of_messages};
use crate::{
    a2a::{
        ids::TaskId,
        page::{DEFAULT_PAGE, MAX_PAGE, page, read_token},
        turn::{Artifacts, Turn},
    },
    access::Action,
    api::{tasks::Newest, turn::turn_status},
    app::Gateway,
    error::ApiError,
    messages,
    task::TaskRecord,
    turn_writer::TurnWriter as _,
};

/// The newest conversations whose turns are listed.
const MAX_CONTEXTS: usize = 100;
/// Entries of logs that are read for one list. A log that has been begun is read whole.
const MAX_ENTRIES: usize = 50_000;
/// What a read of histories counts as.
const ENTRIES_OF_A_REBUILD: usize = 1_000;
/// Logs that are read at a time for one list.
const CONCURRENCY: usize = 4;

impl Call {
    pub(super) async fn list(&self, request: ListTasksRequest) -> Result<ListTasksResponse, ApiError> {
        let size = match request.page_size.map(usize::try_from) {
            None => DEFAULT_PAGE,
            Some(Ok(size)) if (1..=MAX_PAGE).contains(&size) => size,
            Some(_) => {
                return Err(ApiError::bad_request(format!("pageSize is 1 to {MAX_PAGE}")).param("pageSize"));
            }
        };
        let after = read_token(request.page_token.as_deref().unwrap_or_default())
            .map_err(|_| ApiError::bad_request("pageToken is the nextPageToken of another page").param("pageToken"))?;
        let history_length = history_length(request.history_length)?;
        let artifacts = match request.include_artifacts {
            Some(true) => Artifacts::Shown,
            Some(false) | None => Artifacts::Omitted,
        };
        let _turn = self.gateway.load.heavy_request(&self.session.caller).await?;
        let context = request.context_id.filter(|id| !id.is_empty());
        let contexts = self.contexts(context.as_deref()).await?;
        let (gateway, read) = (&*self.gateway, &AtomicUsize::new(0));
        let turns = stream::iter(contexts).map(|task| async move { turns_of(gateway, task, read).await });
        let mut turns: Vec<Turn> = turns.buffered(CONCURRENCY).try_concat().await?;
        let state = request.status.filter(|state| *state != TaskState::Unspecified);
        let since = request.status_timestamp_after.map(|time| time.timestamp_micros());
        turns.retain(|turn| {
            state.as_ref().is_none_or(|state| turn.state() == state)
                && since.is_none_or(|since| turn.updated_at().as_microsecond() >= since)
        });
        let total = turns.len();
        let place = |turn: &Turn| (turn.updated_at().as_microsecond(), turn.id());
        let (turns, next_page_token) = page(turns, place, after, size);
        let tasks: Vec<Task> = turns.iter().map(|turn| turn.task(history_length, artifacts)).collect();
        Ok(ListTasksResponse {
            page_size: count(size),
            tasks,
            next_page_token,
            total_size: count(total),
        })
    }

    async fn contexts(&self, context: Option<&str>) -> Result<Vec<TaskRecord>, ApiError> {
        if let Some(context) = context {
            return Ok(self.context(Action::ReadTasks, context).await?.into_iter().collect());
        }
        let caller = &self.session.caller;
        let agent = self.gateway.agents.by_name(&self.agent.name);
        let agent = self.gateway.agent(caller, Action::ReadTasks, agent).await?;
        let mut newest = Newest::of(&self.gateway, caller, Some(&agent), None).await?;
        let mut contexts = Vec::new();
        while contexts.len() < MAX_CONTEXTS
            && let Some(task) = newest.next().await?
        {
            contexts.push(task);
        }
        Ok(contexts)
    }
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The turns of a task of ours; none when the list has read its share.
async fn turns_of(gateway: &Gateway, task: TaskRecord, read: &AtomicUsize) -> Result<Vec<Turn>, ApiError> {
    if read.load(Ordering::Relaxed) > MAX_ENTRIES {
        return Ok(Vec::new());
    }
    // A list does not tell the first run, which the log is named after.
    let task = match gateway.known_task(&task.id).await {
        Ok(task) => task,
        Err(error) if error.status.is_client_error() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let log = task.own_log();
    let mut turns = Turns::new(&task);
    let mut last: Option<EntryId> = None;
    let mut is_complete = true;
    loop {
        let page = gateway.log.page_after(&log, last).await?;
        read.fetch_add(page.len(), Ordering::Relaxed);
        let Some(end) = page.last() else { break };
        for entry in &page {
            is_complete &= match last {
                Some(last) => last.is_followed_by(entry.id),
                None => begins(entry),
            };
            last = Some(entry.id);
            turns.apply(&entry.event);
        }
        last = Some(end.id);
    }
    if !is_complete || last.is_none() {
        read.fetch_add(ENTRIES_OF_A_REBUILD, Ordering::Relaxed);
        match messages::messages(gateway, &task).await {
            Ok(messages) => turns.catch_up(&messages, last.is_some()),
            // Its history went a moment ago.
            Err(error) if error.status.is_client_error() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(turns.into_turns())
}

fn begins(entry: &Entry) -> bool {
    entry.id.number == 1 && entry.event.kind == EventKind::LogOpened { complete: true }
}

/// The turns of one task of ours.
struct Turns<'a> {
    task: &'a TaskRecord,
    all: Vec<Turn>,
    /// By the number of the turn.
    places: HashMap<u32, usize>,
}

impl<'a> Turns<'a> {
    fn new(task: &'a TaskRecord) -> Self {
        Self {
            task,
            all: Vec::new(),
            places: HashMap::new(),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let EventKind::MessageAccepted { message_id, .. } | EventKind::MessageRejected { message_id, .. } =
            &event.kind
            && event.path.is_empty()
            && let Some(id) = TaskId::of(&self.task.id, message_id)
        {
            let place = self.place(id);
            if matches!(event.kind, EventKind::MessageAccepted { .. }) {
                self.places.insert(event.turn, place);
            }
            self.all[place].apply(event);
            return;
        }
        let number = match event.path.split('.').next() {
            Some(number) if !event.path.is_empty() => number.parse().unwrap_or_default(),
            _ => event.turn,
        };
        if let Some(place) = self.places.get(&number) {
            self.all[*place].apply(event);
        }
    }

    fn catch_up(&mut self, messages: &[Message], has_log: bool) {
        for message in messages.iter().filter(|message| message.author == Author::User) {
            if let Some(id) = TaskId::of(&self.task.id, &message.id) {
                let place = self.place(id);
                of_messages(&mut self.all[place], self.task, messages, has_log);
            }
        }
    }

    fn place(&mut self, id: TaskId) -> usize {
        let known = self.all.iter().rposition(|turn| turn.id() == id);
        known.unwrap_or_else(|| {
            self.all.push(Turn::new(head_of(self.task, id)));
            self.all.len() - 1
        })
    }

    fn into_turns(mut self) -> Vec<Turn> {
        if self.task.status.is_terminal() {
            for turn in &mut self.all {
                turn.end_unseen(turn_status(self.task.status));
            }
        }
        self.all
    }
}

#[cfg(test)]
mod tests {
    use a2a_types::TaskState;
    use steadfast_events::{
        TurnStatus,
        testing::{event, message_accepted, text_done, turn_ended},
    };

    use super::*;
    use crate::task::testing::task;

    const TASK: &str = "01890000-0000-7000-8000-000000000001";
    const FIRST: &str = "01890000-0000-7000-8000-00000000000a";
    const SECOND: &str = "01890000-0000-7000-8000-00000000000b";

    fn of_turn(turn: u32, kind: EventKind) -> Event {
        Event { turn, ..event(kind) }
    }

    #[test]
    fn each_message_is_a_task_with_the_events_of_its_turn() {
        let record = TaskRecord {
            id: TASK.to_owned(),
            ..task()
        };
        let mut turns = Turns::new(&record);
        let ended = turn_ended(TurnStatus::Completed);
        for event in [
            of_turn(1, message_accepted(FIRST)),
            of_turn(2, message_accepted(SECOND)),
            of_turn(1, EventKind::TurnStarted {}),
            of_turn(1, text_done("a", "One")),
            of_turn(1, ended),
            // That of a schedule has no UUID.
            of_turn(3, message_accepted("schedule-1")),
            of_turn(3, EventKind::TurnStarted {}),
            of_turn(2, EventKind::TurnStarted {}),
        ] {
            turns.apply(&event);
        }
        let listed: Vec<(String, TaskState)> = turns
            .into_turns()
            .iter()
            .map(|turn| (turn.id().message_id(), turn.state().clone()))
            .collect();
        assert_eq!(
            listed,
            [
                (FIRST.to_owned(), TaskState::Completed),
                (SECOND.to_owned(), TaskState::Working)
            ]
        );
    }
}

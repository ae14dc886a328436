//! A session as its log tells it, or Temporal where the log lost entries.

use serde_json::{Value, json};
use steadfast_eventlog::Entry;
use steadfast_events::{EntryId, Event, EventKind};

use super::agent_of;
use crate::{
    agentex::wire::TaskStatus,
    api::{
        openai::agents::{agent_id, snapshot},
        turn::turn_status,
    },
    app::Gateway,
    error::ApiError,
    messages,
    openai::{
        ids::SessionId,
        session::{Session, SessionHead},
    },
    task::TaskRecord,
};

/// A session, its task, and the last entry of the log that it has taken in.
pub(super) struct Replayed {
    pub(super) session: Session,
    pub(super) task: TaskRecord,
    pub(super) last: Option<EntryId>,
}

pub(super) fn head_of(gateway: &Gateway, task: &TaskRecord, id: SessionId) -> Result<SessionHead, ApiError> {
    let agent = agent_of(gateway, task)?;
    Ok(SessionHead {
        id,
        agent: snapshot(&agent),
        agent_id: agent_id(&agent),
        agent_name: agent.client_name.clone(),
        created_at: task.created_at.as_second(),
        metadata: task.metadata.clone().unwrap_or_else(|| json!({})),
    })
}

/// Reads the log of a task, up to an entry.
pub(super) async fn replayed(
    gateway: &Gateway,
    id: SessionId,
    task: TaskRecord,
    until: Option<EntryId>,
) -> Result<Replayed, ApiError> {
    let mut session = Session::new(head_of(gateway, &task, id)?);
    let log = task.own_log();
    let mut last: Option<EntryId> = None;
    let mut is_complete = true;
    'pages: loop {
        let page = match gateway.log.page_after(&log, last).await {
            Ok(page) => page,
            Err(error) if error.is_outage() && until.is_none() => {
                is_complete = false;
                break;
            }
            Err(error) => return Err(error.into()),
        };
        if page.is_empty() {
            break;
        }
        for entry in page {
            if until.is_some_and(|until| entry.id > until) {
                break 'pages;
            }
            is_complete &= match last {
                Some(last) => last.is_followed_by(entry.id),
                None => begins(&entry),
            };
            session.apply(&entry.event);
            last = Some(entry.id);
        }
    }
    if !is_complete || last.is_none() {
        session.catch_up(&messages::messages(gateway, &task).await?, None);
    }
    if task.status.is_terminal() {
        end(&mut session, &task);
    }
    Ok(Replayed { session, task, last })
}

fn begins(entry: &Entry) -> bool {
    entry.id.number == 1 && entry.event.kind == EventKind::LogOpened { complete: true }
}

/// The events of a task that has ended.
pub(super) fn end(session: &mut Session, task: &TaskRecord) -> Vec<Value> {
    let failure = match task.status {
        TaskStatus::Failed => Some("the task failed"),
        TaskStatus::TimedOut => Some("the task exceeded its time limit"),
        TaskStatus::Terminated => Some("the task was terminated"),
        TaskStatus::Running | TaskStatus::Completed | TaskStatus::Canceled => None,
    };
    session.end(turn_status(task.status), failure.map(str::to_owned))
}

/// A session in a list: its log is read as far as it takes to know its status.
pub(super) async fn listed(gateway: &Gateway, id: SessionId, task: &TaskRecord) -> Result<Value, ApiError> {
    let mut session = match head_of(gateway, task, id) {
        Ok(head) => Session::new(head),
        // A list goes on without an agent that is gone.
        Err(_) => return Ok(json!({"id": id.to_string(), "object": "agent.session", "status": "idle"})),
    };
    if task.status.is_terminal() {
        end(&mut session, task);
        return Ok(session.json());
    }
    let page = gateway.log.page_before(&task.own_log(), None).await.unwrap_or_default();
    let mut json = session.json();
    json["status"] = json!(if task.approvals.is_empty() {
        status_of(page.iter().map(|entry| &entry.event))
    } else {
        "requires_action"
    });
    Ok(json)
}

/// Whether a turn runs, by the latest events, newest first.
fn status_of<'a>(events: impl IntoIterator<Item = &'a Event>) -> &'static str {
    let mut is_waiting = false;
    for event in events.into_iter().filter(|event| event.path.is_empty()) {
        match &event.kind {
            EventKind::MessageAccepted { .. } => is_waiting = true,
            EventKind::TurnEnded { .. } => break,
            EventKind::TurnStarted {}
            | EventKind::MessageStarted { .. }
            | EventKind::TextDelta { .. }
            | EventKind::ReasoningDelta { .. }
            | EventKind::ReasoningSummaryDelta { .. }
            | EventKind::ModelStarted { .. }
            | EventKind::ToolStarted { .. } => return "in_progress",
            _ => {}
        }
    }
    if is_waiting { "in_progress" } else { "idle" }
}

#[cfg(test)]
mod tests {
    use steadfast_events::{
        TurnStatus,
        testing::{event, message_accepted, turn_ended},
    };

    use super::*;

    #[test]
    fn the_latest_events_tell_whether_a_turn_runs() {
        let accepted = || event(message_accepted("m"));
        let ended = || event(turn_ended(TurnStatus::Completed));
        let started = || event(EventKind::TurnStarted {});
        for (newest_first, status) in [
            (vec![], "idle"),
            (vec![ended(), started(), accepted()], "idle"),
            (vec![started(), accepted()], "in_progress"),
            (vec![accepted()], "in_progress"),
            (vec![ended(), accepted(), started()], "idle"),
            (vec![accepted(), ended()], "in_progress"),
        ] {
            assert_eq!(status_of(&newest_first), status, "{newest_first:?}");
        }
    }
}

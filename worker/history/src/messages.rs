//! The messages of a task, rebuilt from its history.

use steadfast_agent_loop::Body;
use steadfast_events::{EventKind, Message};
use steadfast_projection::{Scope, messages_of, whole_messages_of};
use temporalio_common_wasm::protos::temporal::api::history::v1::HistoryEvent;

use crate::{payload::ReadHistoryError, view::HistoryView};

/// The whole result of a tool call, by the id of its message, which shows only the beginning of a large one.
pub fn whole_result(
    task_id: &str,
    history: &[HistoryEvent],
    message_id: &str,
) -> Result<Option<Message>, ReadHistoryError> {
    let view = HistoryView::read(history)?;
    let scope = Scope {
        task_id,
        agent: "",
        revision: None,
    };
    let mut results = view
        .segments
        .values()
        .filter(|segment| matches!(segment.body, Body::Tool { .. }))
        .flat_map(|segment| whole_messages_of(scope, segment));
    Ok(results.find(|message| message.id == message_id))
}

/// All finished messages in the history of a run, in the order a person saw them begin.
pub fn messages(task_id: &str, history: &[HistoryEvent]) -> Result<Vec<Message>, ReadHistoryError> {
    let view = HistoryView::read(history)?;
    let home = view
        .start
        .as_ref()
        .map(|start| start.agent.as_str())
        .unwrap_or_default();
    let mut messages = Vec::new();
    for shown in &view.shown {
        let revision = shown
            .revision
            .as_ref()
            .and_then(|name| view.revisions.get(name))
            .map(|revision| &revision.spec);
        let scope = Scope {
            task_id,
            agent: revision.map_or(home, |spec| &spec.agent),
            revision,
        };
        messages.extend(messages_of(scope, &shown.segment));
    }
    for event in &view.own_messages {
        if let EventKind::MessageDone { message } = &event.kind
            && !messages
                .iter()
                .any(|known| known.author == message.author && known.id == message.id)
        {
            let place = messages
                .iter()
                .rposition(|known| known.updated_at <= message.updated_at);
            messages.insert(place.map_or(0, |place| place + 1), message.clone());
        }
    }
    messages.retain(|message| !view.withheld.contains(&message.id));
    Ok(messages)
}

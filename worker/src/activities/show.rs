//! What activities show of their work, and what is counted of it.

use steadfast_core::{Body, Segment, ToolOutput};
use steadfast_log::{EntryId, EventKind};
use steadfast_runtime::{opentelemetry::trace::SpanId, trace_context::parse_traceparent};
use steadfast_workflow::{
    activities::{LogAck, Revision},
    contract::StartTask,
    outbox::{OutboxEntry, Pending},
    project::{Scope, messages_of},
};
use temporalio_sdk::activities::ActivityContext;

use super::Activities;
use crate::{
    context::TaskContext,
    log_writer::{LogWriter, Scope as WriterScope},
    outbox::{Resolved, tool_ended},
    spans::{self, TurnSpan},
};

/// A place in a task: what is shown belongs there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub turn: u32,
    pub step: u32,
    pub seen: Option<&'a str>,
}

impl Activities {
    /// A writer for what this attempt shows.
    pub(super) fn writer(
        &self,
        activity: &ActivityContext,
        start: &StartTask,
        agent: &str,
        place: Place<'_>,
        outbox: Resolved,
    ) -> LogWriter {
        let info = activity.info();
        let path = start.path();
        let separator = if path.is_empty() { "" } else { ":" };
        let scope = WriterScope {
            task_id: start.log_task_id().to_owned(),
            producer: format!("{path}{separator}{}#{}", info.activity_id, info.attempt),
            outbox_producer: crate::outbox::producer(start),
            turn: place.turn,
            attempt: info.attempt,
            agent: agent.to_owned(),
            path: path.to_owned(),
            seen: parse_seen(place.seen),
        };
        LogWriter::start(self.log.clone(), scope, outbox)
    }

    /// Shows the result of a tool call.
    pub(super) async fn show_tool_output(
        &self,
        activity: &ActivityContext,
        start: &StartTask,
        revision: &Revision,
        place: Place<'_>,
        (index, output): (u32, ToolOutput),
    ) -> LogAck {
        let agent = &revision.spec.agent;
        let writer = self.writer(activity, start, agent, place, Resolved::nothing());
        let segment = Segment {
            turn: place.turn,
            step: place.step,
            at: jiff::Timestamp::now(),
            body: Body::Tool {
                index,
                output,
                by_task: false,
            },
        };
        let scope = Scope {
            task_id: &start.task_id,
            agent,
            revision: Some(&revision.spec),
        };
        for message in messages_of(scope, &segment) {
            writer.show(EventKind::MessageDone { message });
        }
        if let Some(ended) = tool_ended(&segment.body) {
            writer.show(ended);
        }
        let ack = writer.finish().await;
        if ack.behind {
            self.metrics.log_behind(agent);
        }
        ack
    }

    /// Counts what the task tells, and records the spans of turns that have ended.
    pub(super) fn observe(
        &self,
        activity: &ActivityContext,
        context: &TaskContext,
        start: &StartTask,
        outbox: &[OutboxEntry],
    ) {
        if activity.info().attempt > 1 {
            // The attempt before has told of it.
            return;
        }
        for entry in outbox {
            let Pending::Event(event) = &entry.pending else {
                continue;
            };
            match &event.kind {
                EventKind::TurnEnded { status, usage, error } => {
                    self.metrics.turn_ended(&event.agent, *status);
                    self.spans.record_turn(&TurnSpan {
                        trace_id: spans::trace_id(context),
                        span_id: spans::turn_span_id(&start.task_id, event.turn),
                        parent_span_id: parent_span_id(start),
                        task_id: &start.task_id,
                        turn: event.turn,
                        agent: &start.agent,
                        started_at: started_at(outbox, event.turn).unwrap_or(event.time),
                        ended_at: event.time,
                        status: *status,
                        error: error.as_ref().map(|error| error.category.as_str()),
                        usage: *usage,
                    });
                }
                EventKind::ApprovalRequested { approval } => self.metrics.approval_requested(&approval.agent),
                EventKind::ApprovalDecided { decision, .. } => self.metrics.approval_decided(&event.agent, *decision),
                _ => {}
            }
        }
    }
}

/// The turn that asked, or the client's span.
fn parent_span_id(start: &StartTask) -> Option<SpanId> {
    if start.parent.is_none() {
        return parse_traceparent(start.traceparent.as_deref()?).map(|context| context.span_id());
    }
    let place = start.path().rsplit('/').next()?;
    let asking = start.task_id.strip_suffix(place)?.strip_suffix('.')?;
    let turn = place.split('.').next()?.parse().ok()?;
    Some(spans::turn_span_id(asking, turn))
}

fn started_at(outbox: &[OutboxEntry], turn: u32) -> Option<jiff::Timestamp> {
    outbox.iter().find_map(|entry| match &entry.pending {
        Pending::Event(event) if event.turn == turn && matches!(event.kind, EventKind::TurnStarted {}) => {
            Some(event.time)
        }
        _ => None,
    })
}

/// An id that cannot be read is as good as none: the log then goes by its own.
pub(super) fn parse_seen(seen: Option<&str>) -> Option<EntryId> {
    seen.and_then(|seen| seen.parse().ok())
}

//! What activities show of their work, and what is counted of it.

use std::time::Duration;

use steadfast_agent_loop::{Body, Segment, ToolOutput};
use steadfast_contract::{
    activities::{LogAck, Revision},
    start::StartTask,
    tool_calls::Ran,
};
use steadfast_eventlog::Numbered;
use steadfast_events::EntryId;
use steadfast_events::EventKind;
use steadfast_process::{opentelemetry::trace::SpanId, trace_context::parse_traceparent};
use steadfast_projection::{Scope, messages_of};
use temporalio_sdk::activities::ActivityContext;

use super::Activities;
use crate::{
    context::TaskContext,
    log_writer::{LogWriter, Scope as WriterScope},
    metrics::ToolCallOutcome,
    outbox::{Resolved, tool_ended},
    spans::{self, RecordedCall, ToolCallStart, ToolType, TurnSpan},
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
        // Attempts of a local activity that was lost with its worker are counted from one again.
        let again = if info.is_local {
            format!("@{}", jiff::Timestamp::now().as_millisecond())
        } else {
            String::new()
        };
        let scope = WriterScope {
            task_id: start.log_task_id().to_owned(),
            producer: format!("{path}{separator}{}#{}{again}", info.activity_id, info.attempt),
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

    /// Counts what the task tells, and records the spans of what has ended.
    pub(super) fn observe(
        &self,
        activity: &ActivityContext,
        context: &TaskContext,
        start: &StartTask,
        told: &Resolved,
    ) {
        if activity.info().attempt > 1 {
            // The attempt before has told of it.
            return;
        }
        let is_news = |told_of: &&Numbered| told_of.counter >= told.news_from;
        for Numbered { counter, event } in told.events.iter().filter(is_news) {
            let ran = told.ran.get(counter);
            match &event.kind {
                EventKind::TurnEnded { status, usage, error } => {
                    self.metrics.turn_ended(&event.agent, *status);
                    self.spans.record_turn(&TurnSpan {
                        trace_id: spans::trace_id(context),
                        span_id: spans::turn_span_id(&start.task_id, event.turn),
                        parent_span_id: parent_span_id(start),
                        task_id: &start.task_id,
                        turn: event.turn,
                        agent: &event.agent,
                        started_at: ran.map_or(event.time, |ran| ran.from),
                        ended_at: event.time,
                        status: *status,
                        error: error.as_ref().map(|error| error.category.as_str()),
                        usage: *usage,
                    });
                }
                EventKind::ToolEnded {
                    tool_call_id,
                    name,
                    is_error,
                } => {
                    let Some(ran) = ran else { continue };
                    let call = ToolCallStart {
                        agent: &event.agent,
                        tool: name,
                        call_id: tool_call_id,
                        kind: ToolType::Function,
                        turn: event.turn,
                        step: ran.step,
                        attempt: 1,
                    };
                    self.observe_tool_call(context, call, *ran, is_error.then_some("tool_error"));
                }
                EventKind::ApprovalRequested { approval } => self.metrics.approval_requested(&approval.agent),
                EventKind::ApprovalDecided { decision, .. } => self.metrics.approval_decided(&event.agent, *decision),
                _ => {}
            }
        }
    }

    /// A call that no activity of ours has measured.
    fn observe_tool_call(&self, context: &TaskContext, call: ToolCallStart<'_>, ran: Ran, error: Option<&str>) {
        let outcome = match error {
            Some(_) => ToolCallOutcome::Error,
            None => ToolCallOutcome::Success,
        };
        let took = Duration::try_from(ran.from.duration_until(ran.until)).unwrap_or_default();
        self.metrics.tool_call_ended(call.agent, call.tool, took, outcome);
        let ended = RecordedCall {
            started_at: ran.from,
            ended_at: ran.until,
            error,
        };
        self.spans.record_tool_call(context, call, ended);
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

/// An id that cannot be read is as good as none: the log then goes by its own.
pub(super) fn parse_seen(seen: Option<&str>) -> Option<EntryId> {
    seen.and_then(|seen| seen.parse().ok())
}

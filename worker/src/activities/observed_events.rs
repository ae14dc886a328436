//! Metrics and spans from the outbox of a task: turns, approvals, and the tool
//! calls that ran elsewhere.

use std::time::Duration;

use steadfast_contract::{interval::Interval, start::StartTask};
use steadfast_events::{Event, EventKind};
use steadfast_process::{opentelemetry::trace::SpanId, trace_context::parse_traceparent};

use super::{Activities, ActivityScope};
use crate::{
    log::outbox::OutboxEvents,
    observe::{
        metrics::ToolCallOutcome,
        spans::{self, RecordedCall, ToolCallStart, ToolType, TurnSpan},
    },
    task_context::TaskContext,
};

impl Activities {
    /// Counts the events of the outbox and records the spans that end with them, once per event.
    pub(super) fn observe(&self, scope: &ActivityScope<'_>, start: &StartTask, outbox: &OutboxEvents) {
        if scope.activity.info().attempt > 1 {
            // The first attempt has counted them.
            return;
        }
        self.metrics.log_messages_lost(&start.agent, outbox.lost);
        for event in outbox.events.iter().filter(|event| !event.is_counted) {
            self.observe_event(scope, start, &event.numbered.event, event.interval);
        }
    }

    /// Counts an event, which ends what ran in the interval.
    pub(super) fn observe_event(
        &self,
        scope: &ActivityScope<'_>,
        start: &StartTask,
        event: &Event,
        interval: Option<Interval>,
    ) {
        match &event.kind {
            EventKind::TurnEnded { status, usage, error } => {
                self.metrics.turn_ended(&event.agent, *status);
                self.spans.record_turn(&TurnSpan {
                    trace_id: spans::trace_id(scope.context),
                    span_id: spans::turn_span_id(&start.task_id, event.turn),
                    parent_span_id: parent_span_id(start),
                    task_id: &start.task_id,
                    turn: event.turn,
                    agent: &event.agent,
                    started_at: interval.map_or(event.time, |interval| interval.from),
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
                let Some(interval) = interval else { return };
                let call = ToolCallStart {
                    agent: &event.agent,
                    tool: name,
                    call_id: tool_call_id,
                    kind: ToolType::Function,
                    turn: event.turn,
                    step: interval.step,
                    attempt: 1,
                };
                self.observe_tool_call(scope.context, call, interval, is_error.then_some("tool_error"));
            }
            EventKind::ApprovalRequested { approval } => self.metrics.approval_requested(&approval.agent),
            EventKind::ApprovalDecided { decision, .. } => {
                self.metrics.approval_decided(&event.agent, decision.verdict);
            }
            _ => {}
        }
    }

    /// Records a tool call that no activity of this worker has measured.
    fn observe_tool_call(
        &self,
        context: &TaskContext,
        call: ToolCallStart<'_>,
        interval: Interval,
        error: Option<&str>,
    ) {
        let outcome = match error {
            Some(_) => ToolCallOutcome::Error,
            None => ToolCallOutcome::Success,
        };
        let duration = Duration::try_from(interval.from.duration_until(interval.until)).unwrap_or_default();
        self.metrics.tool_call_ended(call.agent, call.tool, duration, outcome);
        let ended = RecordedCall {
            started_at: interval.from,
            ended_at: interval.until,
            error,
        };
        self.spans.record_tool_call(context, call, ended);
    }
}

/// The span of the parent's turn for a child task, else the client's span.
fn parent_span_id(start: &StartTask) -> Option<SpanId> {
    if start.parent.is_none() {
        return parse_traceparent(start.traceparent.as_deref()?).map(|context| context.span_id());
    }
    let call = start.path().rsplit('/').next()?;
    let parent_task_id = start.task_id.strip_suffix(call)?.strip_suffix('.')?;
    let turn = call.split('.').next()?.parse().ok()?;
    Some(spans::turn_span_id(parent_task_id, turn))
}

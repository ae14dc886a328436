//! Publishes the events of an activity to the log of its task.

use std::time::Duration;

use steadfast_agent_loop::{Body, Segment, ToolOutput};
use steadfast_contract::{
    activities::{LogAck, Revision},
    start::StartTask,
};
use steadfast_crds::AgentRevisionSpec;
use steadfast_events::{EntryId, EventKind};
use steadfast_projection::{Scope, messages_of};
use temporalio_sdk::activities::ActivityContext;

use super::Activities;
use crate::log::{
    outbox::{OutboxEvents, end_producer, producer, tool_ended},
    writer::{LogWriter, WriterScope, Written},
};

/// A log that expires sooner is lost to whoever looks at the answer.
const SHORTEST_EXPIRY: Duration = Duration::from_mins(1);

/// The step that events belong to, and the last log entry that the task knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogPosition<'a> {
    pub turn: u32,
    pub step: u32,
    pub cursor: Option<&'a str>,
}

impl Activities {
    /// Starts a writer for this attempt. The caller finishes it with [`Activities::finish`].
    pub(super) fn start_writer(
        &self,
        activity: &ActivityContext,
        start: &StartTask,
        spec: &AgentRevisionSpec,
        position: LogPosition<'_>,
        outbox: OutboxEvents,
    ) -> LogWriter {
        let info = activity.info();
        let run_id = info.workflow_run_id.as_deref().unwrap_or_default();
        let (run_id, run_before) = start.log_runs(run_id);
        let path = start.path();
        let separator = if path.is_empty() { "" } else { ":" };
        // The attempts of a local activity start at one again when its worker is lost.
        let restart = if info.is_local {
            format!("@{}", jiff::Timestamp::now().as_millisecond())
        } else {
            String::new()
        };
        let scope = WriterScope {
            log: start.log_id(),
            runs: (run_id.to_owned(), run_before.to_owned()),
            expiry: log_expiry(start, Some(spec)),
            producer: format!("{path}{separator}{}#{}{restart}", info.activity_id, info.attempt),
            outbox_producer: producer(start),
            end_producer: end_producer(start),
            turn: position.turn,
            attempt: info.attempt,
            agent: spec.agent.clone(),
            path: path.to_owned(),
            cursor: parse_cursor(position.cursor),
        };
        self.writers.start(scope, outbox)
    }

    /// Waits for a writer, and counts an activity whose events are late.
    pub(super) async fn finish(&self, writer: LogWriter, agent: &str) -> LogAck {
        self.finish_turn(writer, agent).await.ack
    }

    /// The same for a writer that may have ended the turn.
    pub(super) async fn finish_turn(&self, writer: LogWriter, agent: &str) -> Written {
        let written = writer.finish().await;
        if written.ack.lagging {
            self.metrics.log_lagging(agent);
        }
        written
    }

    /// Publishes the output of a tool call.
    pub(super) async fn publish_tool_output(
        &self,
        activity: &ActivityContext,
        start: &StartTask,
        revision: &Revision,
        position: LogPosition<'_>,
        (index, output): (u32, ToolOutput),
    ) -> LogAck {
        let agent = &revision.spec.agent;
        let writer = self.start_writer(activity, start, &revision.spec, position, OutboxEvents::none());
        let segment = Segment {
            turn: position.turn,
            step: position.step,
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
            writer.publish(EventKind::MessageDone { message });
        }
        if let Some(ended) = tool_ended(&segment.body) {
            writer.publish(ended);
        }
        self.finish(writer, agent).await
    }
}

/// How long the log is kept, as the agent of the conversation says; an agent that works as a tool does not decide it.
pub(super) fn log_expiry(start: &StartTask, spec: Option<&AgentRevisionSpec>) -> Option<Duration> {
    let expiry = spec.filter(|_| start.parent.is_none())?.retention.log?;
    Some(expiry.as_std().max(SHORTEST_EXPIRY))
}

/// An invalid ID counts as none: the log then uses its own last entry.
pub(super) fn parse_cursor(cursor: Option<&str>) -> Option<EntryId> {
    cursor.and_then(|cursor| cursor.parse().ok())
}

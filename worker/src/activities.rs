//! The activities. Each one reads its inputs, acts, publishes what it does to
//! the log of the task, and returns the result that history keeps.

mod compaction;
mod deliver_message;
mod guardrails;
mod heartbeat;
mod http_tool;
mod mcp_tool;
mod measured_call;
mod model_call;
mod observed_events;
mod predecessor;
mod publish;
mod registered;
mod repeated_failure;
mod state_page;
mod steps;
mod tool_call;
mod webhook;

use std::sync::Arc;

use steadfast_contract::activities::{Append, LoadedRevision, LogAck, RevisionRequest};
use steadfast_eventlog::{Batch, EventLog, LogRun, Part};
use steadfast_process::BlockingWork;
use temporalio_sdk::activities::ActivityContext;
use tokio_util::sync::CancellationToken;

pub(crate) use self::predecessor::RunningAttempts;
use self::publish::{log_expiry, parse_cursor};
use crate::{
    attachments::Attachments,
    cache::{run_history::RunHistory, segments::SegmentCache},
    cancel_broadcast::{CancelBroadcast, RunningCalls},
    failure::{ActivityFailure, CallFailure},
    log::{
        outbox::{end_producer, producer, resolve},
        writer::LogWriters,
    },
    model::{ModelClient, concurrency_limit::ConcurrencyLimit},
    observe::{metrics::Metrics, spans::Spans},
    revisions::Revisions,
    search_attributes::SearchAttributes,
    task_context::TaskContext,
    tools::{http::HttpToolClient, mcp::McpClient, webhook::WebhookClient},
};

/// The state that all activities of a worker share.
pub(crate) struct Activities {
    pub(crate) cache: Arc<SegmentCache>,
    pub(crate) log: EventLog,
    pub(crate) writers: LogWriters,
    pub(crate) revisions: Revisions,
    pub(crate) model: ModelClient,
    pub(crate) attachments: Attachments,
    pub(crate) http_tools: HttpToolClient,
    pub(crate) mcp: McpClient,
    pub(crate) webhooks: WebhookClient,
    pub(crate) running: RunningCalls,
    pub(crate) attempts: RunningAttempts,
    pub(crate) cancel_broadcast: CancelBroadcast,
    pub(crate) model_calls: ConcurrencyLimit,
    /// Threads for the expressions and schemas of users.
    pub(crate) blocking: BlockingWork,
    pub(crate) search_attributes: SearchAttributes,
    pub(crate) metrics: Metrics,
    pub(crate) spans: Spans,
    /// Cancelled when this process shuts down.
    pub(crate) shutdown: CancellationToken,
}

/// What the steps of one activity share.
struct ActivityScope<'a> {
    activity: &'a ActivityContext,
    context: &'a TaskContext,
    history: RunHistory<'a>,
}

impl Activities {
    fn scope<'a>(&'a self, activity: &'a ActivityContext, context: &'a TaskContext) -> ActivityScope<'a> {
        ActivityScope {
            activity,
            context,
            history: RunHistory::new(&self.cache, activity, context),
        }
    }

    async fn until_cancelled<T>(
        &self,
        activity: &ActivityContext,
        work: impl Future<Output = Result<T, ActivityFailure>>,
    ) -> Result<T, ActivityFailure> {
        tokio::select! {
            result = work => result,
            () = activity.cancelled() => Err(self.cancelled()),
        }
    }

    /// Why an activity was cancelled: by its workflow, or because this process shuts down.
    fn cancelled(&self) -> ActivityFailure {
        if self.shutdown.is_cancelled() {
            ActivityFailure::ShuttingDown
        } else {
            ActivityFailure::Cancelled
        }
    }

    async fn load(&self, request: RevisionRequest) -> Result<LoadedRevision, ActivityFailure> {
        let newest = self.revisions.newest_unless(&request.agent, request.known.as_deref());
        let revision = newest.map_err(|error| CallFailure::transient_error("revision_unavailable", &error))?;
        let search_attributes = if request.asks_search_attributes {
            Some(self.search_attributes.are_registered().await)
        } else {
            None
        };
        Ok(LoadedRevision {
            revision,
            search_attributes,
        })
    }

    async fn append_outbox(&self, scope: &ActivityScope<'_>, append: Append) -> Result<LogAck, ActivityFailure> {
        let Append {
            outbox,
            cursor,
            revision,
        } = append;
        let start = scope.history.start().await?;
        let revision = match &revision {
            Some(name) => Some(scope.history.revision(name).await?),
            None => None,
        };
        let spec = revision.as_ref().map(|revision| &revision.spec);
        let outbox = resolve(outbox, &start, spec, &scope.history).await?;
        self.observe(scope, &start, &outbox);
        let (run_id, run_before) = start.log_runs(&scope.context.run_id);
        let (last_number, first_batch) = (outbox.last_number, outbox.first_batch);
        let parts = outbox.into_parts(&producer(&start), &end_producer(&start));
        let parts: Vec<Part<'_>> = parts
            .iter()
            .map(|(producer, events)| Part { producer, events })
            .collect();
        let batch = Batch {
            parts: &parts,
            cursor: parse_cursor(cursor.as_deref()),
            first_batch,
            run: LogRun {
                id: run_id,
                follows: run_before,
            },
            expiry: log_expiry(&start, spec),
        };
        let appended = self.log.append(&start.log_id(), batch).await;
        let appended = appended.map_err(|error| CallFailure::transient_error("log_unavailable", &error))?;
        Ok(LogAck {
            acked: last_number,
            cursor: Some(appended.last.to_string()),
            lagging: false,
        })
    }
}

//! The activities. Each one gathers what it needs, acts, shows what it does in
//! the task's log, and answers with what history must keep.

mod carry;
mod checks;
mod compaction;
mod deliver;
mod model_call;
mod show;
mod tool_call;

use std::sync::Arc;

use serde_json::Value;
use steadfast_agent_loop::Segment;
use steadfast_contract::{
    activities::{
        Append, Capabilities, CarriedRequest, CelCheck, CheckVerdict, HttpToolCall, HttpToolOutcome, LogAck,
        McpToolCall, McpToolOutcome, ModelCall, ModelOutcome, Revision, RevisionRequest, StepCall, StepOutcome,
        StopRequest, Summary, WebhookCall,
    },
    scheduled::{Delivered, Delivery},
};
use steadfast_eventlog::{Batch, EventLog};
use steadfast_payload::Packed;
use steadfast_workflow::activities::{
    AppendEvents, CallHttpStep, CallHttpTool, CallMcpTool, CallWebhook, CheckCel, Compact, Deliver, FetchCarried,
    InvokeModel, LoadCapabilities, LoadRevision, RenderStep, StopRunning,
};
use temporalio_client::errors::WorkflowInteractionError;
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio_util::sync::CancellationToken;

use crate::{
    capabilities::SearchAttributes,
    context,
    control::{Control, RunningCalls},
    heartbeat::Heartbeat,
    http_tool::HttpToolClient,
    known::Known,
    mcp::McpClient,
    metrics::Metrics,
    model::ModelClient,
    outbox::{producer, resolve},
    pace::Pace,
    revisions::Revisions,
    segment_cache::SegmentCache,
    spans::Spans,
    webhook::WebhookClient,
};

/// What all activities of a worker share.
pub struct Activities {
    pub store: Arc<SegmentCache>,
    pub log: EventLog,
    pub revisions: Revisions,
    pub model: ModelClient,
    pub http_tools: HttpToolClient,
    pub mcp: McpClient,
    pub webhooks: WebhookClient,
    pub running: RunningCalls,
    pub control: Control,
    pub pace: Pace,
    pub search_attributes: SearchAttributes,
    pub metrics: Metrics,
    pub spans: Spans,
    /// Cancelled when this process is to end.
    pub shutdown: CancellationToken,
}

#[activities]
impl Activities {
    #[activity(definition = InvokeModel)]
    pub async fn invoke_model(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<ModelCall>,
    ) -> Result<Packed<ModelOutcome>, ActivityError> {
        let context = context::current();
        let _heartbeat = Heartbeat::start(&activity);
        let known = Known::new(&self.store, &activity, &context);
        self.run_model(&activity, &known, &context, call.0).await.map(Packed)
    }

    #[activity(definition = Compact)]
    pub async fn compact_transcript(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<ModelCall>,
    ) -> Result<Packed<Summary>, ActivityError> {
        let context = context::current();
        let _heartbeat = Heartbeat::start(&activity);
        let known = Known::new(&self.store, &activity, &context);
        self.sum_up(&activity, &known, &context, call.0).await.map(Packed)
    }

    #[activity(definition = CallHttpTool)]
    pub async fn call_http_tool(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<HttpToolCall>,
    ) -> Result<Packed<HttpToolOutcome>, ActivityError> {
        let context = context::current();
        let known = Known::new(&self.store, &activity, &context);
        tokio::select! {
            result = self.run_http_tool(&activity, &known, &context, call.0) => result.map(Packed),
            () = activity.cancelled() => Err(self.stopped()),
        }
    }

    #[activity(definition = CallMcpTool)]
    pub async fn call_mcp_tool(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<McpToolCall>,
    ) -> Result<Packed<McpToolOutcome>, ActivityError> {
        let context = context::current();
        let known = Known::new(&self.store, &activity, &context);
        tokio::select! {
            result = self.run_mcp_tool(&activity, &known, &context, call.0) => result.map(Packed),
            () = activity.cancelled() => Err(self.stopped()),
        }
    }

    #[activity(definition = CallHttpStep)]
    pub async fn call_http_step(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<StepCall>,
    ) -> Result<Packed<StepOutcome>, ActivityError> {
        let context = context::current();
        let known = Known::new(&self.store, &activity, &context);
        self.run_http_step(&known, &context, call.0).await.map(Packed)
    }

    #[activity(definition = RenderStep)]
    pub async fn render_step(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<StepCall>,
    ) -> Result<Packed<Value>, ActivityError> {
        let context = context::current();
        let known = Known::new(&self.store, &activity, &context);
        self.render_arguments(&known, call.0).await.map(Packed)
    }

    #[activity(definition = CheckCel)]
    pub async fn check_cel(
        self: Arc<Self>,
        activity: ActivityContext,
        check: Packed<CelCheck>,
    ) -> Result<Packed<Vec<CheckVerdict>>, ActivityError> {
        let context = context::current();
        let known = Known::new(&self.store, &activity, &context);
        checks::run(&known, check.0).await.map(Packed)
    }

    #[activity(definition = CallWebhook)]
    pub async fn call_webhook(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<WebhookCall>,
    ) -> Result<Packed<()>, ActivityError> {
        let context = context::current();
        let known = Known::new(&self.store, &activity, &context);
        self.tell_webhook(&known, call.0).await.map(Packed)
    }

    #[activity(definition = FetchCarried)]
    pub async fn fetch_carried(
        self: Arc<Self>,
        activity: ActivityContext,
        request: Packed<CarriedRequest>,
    ) -> Result<Packed<Vec<Segment>>, ActivityError> {
        carry::fetch(&activity, request.0).await.map(Packed)
    }

    #[activity(definition = AppendEvents)]
    pub async fn append_events(
        self: Arc<Self>,
        activity: ActivityContext,
        append: Packed<Append>,
    ) -> Result<Packed<LogAck>, ActivityError> {
        let context = context::current();
        let known = Known::new(&self.store, &activity, &context);
        let Append { outbox, seen, revision } = append.0;
        let start = known.start().await?;
        let revision = match &revision {
            Some(name) => Some(known.revision(name).await?),
            None => None,
        };
        let spec = revision.as_ref().map(|revision| &revision.spec);
        let told = resolve(outbox, &start, spec, &known).await?;
        self.observe(&activity, &context, &start, &told);
        let batch = Batch {
            producer: &producer(&start),
            events: &told.events,
            seen: show::parse_seen(seen.as_deref()),
            genesis: told.genesis,
        };
        let appended = self.log.append(start.log_task_id(), batch).await?;
        Ok(Packed(LogAck {
            acked: told.last_number,
            seen: Some(appended.last.to_string()),
            behind: false,
        }))
    }

    #[expect(clippy::unused_async, reason = "a sync activity runs outside of the task's context")]
    #[activity(definition = LoadRevision)]
    pub async fn load_revision(
        self: Arc<Self>,
        _activity: ActivityContext,
        request: Packed<RevisionRequest>,
    ) -> Result<Packed<Option<Revision>>, ActivityError> {
        let newest = self.revisions.newest(&request.0.agent)?;
        let is_known = request.0.known.as_ref() == Some(&newest.name);
        Ok(Packed((!is_known).then_some(newest)))
    }

    #[activity(definition = StopRunning)]
    pub async fn stop_running(
        self: Arc<Self>,
        _activity: ActivityContext,
        request: Packed<StopRequest>,
    ) -> Result<Packed<()>, ActivityError> {
        let StopRequest { task_id, turn } = request.0;
        self.control.publish(&task_id, turn).await?;
        Ok(Packed(()))
    }

    #[activity(definition = LoadCapabilities)]
    pub async fn load_capabilities(
        self: Arc<Self>,
        _activity: ActivityContext,
        _request: Packed<()>,
    ) -> Result<Packed<Capabilities>, ActivityError> {
        let search_attributes = self.search_attributes.are_indexed().await;
        Ok(Packed(Capabilities { search_attributes }))
    }

    #[activity(definition = Deliver)]
    pub async fn deliver(
        self: Arc<Self>,
        activity: ActivityContext,
        delivery: Packed<Delivery>,
    ) -> Result<Packed<Delivered>, ActivityError> {
        deliver::deliver(&activity, delivery.0).await.map(Packed)
    }
}

impl Activities {
    /// What an activity answers that was told to stop.
    fn stopped(&self) -> ActivityError {
        if !self.shutdown.is_cancelled() {
            return ActivityError::cancelled();
        }
        // Nobody cancelled the call: another worker is to take it up.
        let failure = ApplicationFailure::builder(std::io::Error::other("the worker is shutting down"));
        ActivityError::application(failure.type_name("worker_shutdown".to_owned()).build())
    }
}

/// What the server says of a workflow that is not there. A namespace that is not there may come back.
fn gone(error: &WorkflowInteractionError) -> Option<&str> {
    match error {
        WorkflowInteractionError::NotFound(status) => {
            Some(status.message()).filter(|message| !message.starts_with("Namespace"))
        }
        _ => None,
    }
}

fn permanent(category: &str, message: impl Into<String>) -> ActivityError {
    let failure = ApplicationFailure::builder(std::io::Error::other(message.into()));
    ActivityError::application(failure.type_name(category.to_owned()).non_retryable(true).build())
}

fn transient(category: &str, message: impl Into<String>) -> ActivityError {
    let failure = ApplicationFailure::builder(std::io::Error::other(message.into()));
    ActivityError::application(failure.type_name(category.to_owned()).build())
}

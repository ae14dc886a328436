//! The activities as the SDK registers them: types of input and output, and what
//! each one runs.

#![expect(
    dead_code,
    reason = "the macro adds a constant for each activity, for callers that this crate has not"
)]

use std::sync::Arc;

use serde_json::Value;
use steadfast_agent_loop::Segment;
use steadfast_contract::{
    activities::{
        Append, CancelRequest, CelCheck, GuardrailResult, HistoryRecord, HttpToolCall, HttpToolOutcome, LoadedRevision,
        LogAck, McpToolCall, McpToolOutcome, ModelCall, ModelOutcome, RevisionRequest, StatePageRequest, StatePart,
        StatePartRequest, StepCall, StepOutcome, Summary, WebhookCall,
    },
    scheduled::{DeliveredTo, ScheduledMessage},
};
use steadfast_payload::Packed;
use steadfast_workflow::activities::{
    AppendEvents, CallHttpStep, CallHttpTool, CallMcpTool, CallWebhook, CancelRunningCalls, CheckCel, Compact,
    DeliverScheduledMessage, FetchStatePage, FetchStatePart, InvokeModel, LoadRevision, RecordInHistory, RenderStep,
};
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::{
    Activities, deliver_message, guardrails, heartbeat::Heartbeat, repeated_failure::leave_note, state_page, steps,
};
use crate::{
    failure::{ActivityFailure, CallFailure},
    task_context,
};

#[activities]
impl Activities {
    #[activity(definition = InvokeModel)]
    pub(crate) async fn invoke_model(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<ModelCall>,
    ) -> Result<Packed<ModelOutcome>, ActivityError> {
        let context = task_context::current();
        let heartbeat = Heartbeat::start(&activity);
        let _attempt = self.attempts.keep(&activity);
        let outcome = self.run_model(&self.scope(&activity, &context), call.0).await;
        drop(heartbeat);
        leave_note(&activity, &outcome).await;
        packed(outcome)
    }

    #[activity(definition = Compact)]
    pub(crate) async fn compact_transcript(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<ModelCall>,
    ) -> Result<Packed<Summary>, ActivityError> {
        let context = task_context::current();
        let heartbeat = Heartbeat::start(&activity);
        let outcome = self.compact(&self.scope(&activity, &context), call.0).await;
        drop(heartbeat);
        leave_note(&activity, &outcome).await;
        packed(outcome)
    }

    #[activity(definition = CallHttpTool)]
    pub(crate) async fn call_http_tool(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<HttpToolCall>,
    ) -> Result<Packed<HttpToolOutcome>, ActivityError> {
        let context = task_context::current();
        let scope = self.scope(&activity, &context);
        packed(
            self.until_cancelled(&activity, self.run_http_tool(&scope, call.0))
                .await,
        )
    }

    #[activity(definition = CallMcpTool)]
    pub(crate) async fn call_mcp_tool(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<McpToolCall>,
    ) -> Result<Packed<McpToolOutcome>, ActivityError> {
        let context = task_context::current();
        let scope = self.scope(&activity, &context);
        packed(
            self.until_cancelled(&activity, Box::pin(self.run_mcp_tool(&scope, call.0)))
                .await,
        )
    }

    #[activity(definition = CallHttpStep)]
    pub(crate) async fn call_http_step(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<StepCall>,
    ) -> Result<Packed<StepOutcome>, ActivityError> {
        let context = task_context::current();
        packed(self.run_http_step(&self.scope(&activity, &context), call.0).await)
    }

    #[activity(definition = RenderStep)]
    pub(crate) async fn render_step(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<StepCall>,
    ) -> Result<Packed<Value>, ActivityError> {
        let context = task_context::current();
        packed(steps::render(&self.scope(&activity, &context), &self.blocking, call.0).await)
    }

    #[activity(definition = CheckCel)]
    pub(crate) async fn check_cel(
        self: Arc<Self>,
        activity: ActivityContext,
        check: Packed<CelCheck>,
    ) -> Result<Packed<Vec<GuardrailResult>>, ActivityError> {
        let context = task_context::current();
        packed(guardrails::check(&self.scope(&activity, &context), &self.blocking, check.0).await)
    }

    #[activity(definition = CallWebhook)]
    pub(crate) async fn call_webhook(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<WebhookCall>,
    ) -> Result<Packed<()>, ActivityError> {
        let context = task_context::current();
        packed(self.post_webhook(&self.scope(&activity, &context), call.0).await)
    }

    #[activity(definition = FetchStatePage)]
    pub(crate) async fn fetch_state_page(
        self: Arc<Self>,
        activity: ActivityContext,
        request: Packed<StatePageRequest>,
    ) -> Result<Packed<Vec<Segment>>, ActivityError> {
        packed(state_page::fetch(&activity, request.0).await)
    }

    #[activity(definition = FetchStatePart)]
    pub(crate) async fn fetch_state_part(
        self: Arc<Self>,
        activity: ActivityContext,
        request: Packed<StatePartRequest>,
    ) -> Result<Packed<StatePart>, ActivityError> {
        packed(state_page::fetch_part(&activity, request.0).await)
    }

    #[expect(
        clippy::unused_async,
        reason = "the SDK runs a sync activity outside of the task context"
    )]
    #[activity(definition = RecordInHistory)]
    pub(crate) async fn record_in_history(
        self: Arc<Self>,
        _activity: ActivityContext,
        _record: Packed<HistoryRecord>,
    ) -> Result<Packed<()>, ActivityError> {
        Ok(Packed(()))
    }

    #[activity(definition = AppendEvents)]
    pub(crate) async fn append_events(
        self: Arc<Self>,
        activity: ActivityContext,
        append: Packed<Append>,
    ) -> Result<Packed<LogAck>, ActivityError> {
        let context = task_context::current();
        packed(self.append_outbox(&self.scope(&activity, &context), append.0).await)
    }

    #[activity(definition = LoadRevision)]
    pub(crate) async fn load_revision(
        self: Arc<Self>,
        _activity: ActivityContext,
        request: Packed<RevisionRequest>,
    ) -> Result<Packed<LoadedRevision>, ActivityError> {
        packed(self.load(request.0).await)
    }

    #[activity(definition = CancelRunningCalls)]
    pub(crate) async fn cancel_running_calls(
        self: Arc<Self>,
        _activity: ActivityContext,
        request: Packed<CancelRequest>,
    ) -> Result<Packed<()>, ActivityError> {
        let CancelRequest { task_id, turn } = request.0;
        let cancelled = self.cancel_broadcast.cancel(&task_id, turn).await;
        packed(cancelled.map_err(|error| CallFailure::transient_error("redis_unavailable", &error).into()))
    }

    #[activity(definition = DeliverScheduledMessage)]
    pub(crate) async fn deliver_message(
        self: Arc<Self>,
        activity: ActivityContext,
        delivery: Packed<ScheduledMessage>,
    ) -> Result<Packed<DeliveredTo>, ActivityError> {
        packed(deliver_message::deliver(&activity, delivery.0).await)
    }
}

/// The result of an activity in the form that Temporal records.
fn packed<T>(result: Result<T, ActivityFailure>) -> Result<Packed<T>, ActivityError> {
    result.map(Packed).map_err(ActivityFailure::into_failure)
}

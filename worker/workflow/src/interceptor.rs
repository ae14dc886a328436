//! Puts the context of a task into the headers of everything that the workflow starts: the task, its
//! trace and the step. No function passes a task id by hand.

use std::cell::RefCell;

use serde::{Serialize, de::DeserializeOwned};
use steadfast_agent_loop::StepId;
use steadfast_contract::headers::{HEADER_IDEMPOTENCY_KEY, HEADER_PARENT_SPAN_ID, HEADER_TASK_ID, HEADER_TRACE_ID};
use steadfast_payload::{foreign_json, unpack};
use temporalio_workflow::{
    WorkflowContextKey,
    common::protos::temporal::api::common::v1::Payload,
    workflow_interceptors::{
        CancellableWorkflowOutboundFuture, ContinueAsNewInput, ContinueAsNewResult, ExecuteWorkflowInput,
        ExecuteWorkflowResult, ScheduleActivityInput, ScheduleActivityResult, ScheduleLocalActivityInput,
        StartChildWorkflowInput, StartChildWorkflowResult, SyncWorkflowInterceptorContext, WorkflowInterceptor,
        WorkflowInterceptorConstructor, WorkflowInterceptorContext, WorkflowInterceptorFuture, WorkflowNext,
    },
};
use uuid::Uuid;

use crate::task_input::TaskInput;

/// The scope of one call that the workflow makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallScope {
    pub step: StepId,
    /// Set on tool calls.
    pub idempotency_key: Option<String>,
}

/// Key of the [`CallScope`] while a call is being scheduled.
pub struct CallScopeKey;

impl WorkflowContextKey for CallScopeKey {
    type Value = CallScope;
}

/// One per run.
pub struct ContextInterceptor {
    trace_id: RefCell<Option<String>>,
}

impl ContextInterceptor {
    /// The constructor that workers and replayers register.
    pub fn constructor() -> WorkflowInterceptorConstructor {
        WorkflowInterceptorConstructor::new(|_: &_| Self {
            trace_id: RefCell::default(),
        })
    }

    fn add_headers(&self, ctx: &WorkflowInterceptorContext, headers: &mut std::collections::HashMap<String, Payload>) {
        let task_id = ctx.workflow_id();
        let scope = ctx.context_value::<CallScopeKey>();
        let span_of = scope.as_ref().map(|scope| scope.step);
        insert(headers, HEADER_TASK_ID, task_id);
        insert(headers, HEADER_TRACE_ID, &self.trace_id(task_id));
        insert(headers, HEADER_PARENT_SPAN_ID, &span_id(task_id, span_of));
        if let Some(key) = scope.as_ref().and_then(|scope| scope.idempotency_key.as_deref()) {
            insert(headers, HEADER_IDEMPOTENCY_KEY, key);
        }
    }

    /// The caller's trace, or one of the task's own.
    fn trace_id(&self, task_id: &str) -> String {
        self.trace_id.borrow().clone().unwrap_or_else(|| task_id.to_owned())
    }
}

/// Id of the span of a turn, or of the task where no turn runs; the same on every replay.
pub fn span_id(task_id: &str, step: Option<StepId>) -> String {
    let name = step.map_or_else(|| task_id.to_owned(), |step| format!("{task_id}/{}", step.turn));
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

/// A header as the default JSON converter of every Temporal SDK reads it, and never encrypted: it holds ids only.
pub fn header<T: Serialize>(value: &T) -> Option<Payload> {
    foreign_json(value).ok()
}

/// Reads a header back.
pub fn read_header<T: DeserializeOwned>(payload: Option<&Payload>) -> Option<T> {
    payload.and_then(|payload| unpack(payload).ok())
}

fn insert(headers: &mut std::collections::HashMap<String, Payload>, name: &str, value: &str) {
    if let Some(payload) = header(&value) {
        headers.insert(name.to_owned(), payload);
    }
}

impl WorkflowInterceptor for ContextInterceptor {
    fn execute<'a>(
        &'a self,
        _: WorkflowInterceptorContext,
        input: ExecuteWorkflowInput,
        next: WorkflowNext<'a, ExecuteWorkflowInput, WorkflowInterceptorFuture<'a, ExecuteWorkflowResult>>,
    ) -> WorkflowInterceptorFuture<'a, ExecuteWorkflowResult> {
        let of_client = || input.input_ref::<TaskInput>()?.0.as_ref().ok()?.trace_id();
        *self.trace_id.borrow_mut() = read_header(input.headers().get(HEADER_TRACE_ID)).or_else(of_client);
        next.run(input)
    }

    fn schedule_activity(
        &self,
        ctx: WorkflowInterceptorContext,
        mut input: ScheduleActivityInput,
        next: WorkflowNext<'static, ScheduleActivityInput, CancellableWorkflowOutboundFuture<ScheduleActivityResult>>,
    ) -> CancellableWorkflowOutboundFuture<ScheduleActivityResult> {
        self.add_headers(&ctx, input.headers_mut());
        next.run(input)
    }

    fn schedule_local_activity(
        &self,
        ctx: WorkflowInterceptorContext,
        mut input: ScheduleLocalActivityInput,
        next: WorkflowNext<
            'static,
            ScheduleLocalActivityInput,
            CancellableWorkflowOutboundFuture<ScheduleActivityResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<ScheduleActivityResult> {
        self.add_headers(&ctx, input.headers_mut());
        next.run(input)
    }

    fn start_child_workflow(
        &self,
        ctx: WorkflowInterceptorContext,
        mut input: StartChildWorkflowInput,
        next: WorkflowNext<
            'static,
            StartChildWorkflowInput,
            CancellableWorkflowOutboundFuture<StartChildWorkflowResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<StartChildWorkflowResult> {
        self.add_headers(&ctx, input.headers_mut());
        next.run(input)
    }

    fn continue_as_new(
        &self,
        ctx: SyncWorkflowInterceptorContext,
        mut input: ContinueAsNewInput,
        next: WorkflowNext<'static, ContinueAsNewInput, ContinueAsNewResult>,
    ) -> ContinueAsNewResult {
        // A new run begins with no headers of its own.
        let trace_id = self.trace_id(ctx.workflow_id());
        insert(input.headers_mut(), HEADER_TRACE_ID, &trace_id);
        next.run(input)
    }
}

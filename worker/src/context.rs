//! Which task an activity works for. An interceptor reads it from the headers
//! that the workflow's interceptor wrote; whoever needs it asks [`current`].

use futures::FutureExt;
use steadfast_contract::headers::{HEADER_IDEMPOTENCY_KEY, HEADER_PARENT_SPAN_ID, HEADER_TASK_ID, HEADER_TRACE_ID};
use steadfast_workflow::interceptor::read_header;
use temporalio_sdk::interceptors::{ActivityInboundInterceptor, ExecuteActivityInput, ExecuteActivityOutput, Next};

tokio::task_local! {
    static CONTEXT: TaskContext;
}

/// What belongs to the running activity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskContext {
    pub task_id: String,
    pub run_id: String,
    pub trace_id: String,
    pub parent_span_id: String,
    /// The same for every attempt of one tool call; set on tool calls only.
    pub idempotency_key: Option<String>,
}

/// The context of the running activity; empty outside of one. A task spawned by
/// an activity has none: take it along by value.
pub fn current() -> TaskContext {
    CONTEXT.try_with(Clone::clone).unwrap_or_default()
}

pub struct ContextInterceptor;

impl ActivityInboundInterceptor for ContextInterceptor {
    fn execute_activity<'a>(
        &'a self,
        input: ExecuteActivityInput,
        next: Next<'a, ExecuteActivityInput, ExecuteActivityOutput<'a>>,
    ) -> ExecuteActivityOutput<'a> {
        let text = |name: &str| read_header::<String>(input.headers().get(name));
        let info = input.activity_info();
        let context = TaskContext {
            task_id: text(HEADER_TASK_ID)
                .or_else(|| info.workflow_id.clone())
                .unwrap_or_default(),
            run_id: info.workflow_run_id.clone().unwrap_or_default(),
            trace_id: text(HEADER_TRACE_ID).unwrap_or_default(),
            parent_span_id: text(HEADER_PARENT_SPAN_ID).unwrap_or_default(),
            idempotency_key: text(HEADER_IDEMPOTENCY_KEY),
        };
        CONTEXT.scope(context, async move { next.run(input).await }).boxed()
    }
}

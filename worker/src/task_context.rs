//! The task that an activity belongs to. An interceptor reads it from the headers
//! that the interceptor of the workflow sets; [`current`] returns it.

use futures::FutureExt;
use steadfast_contract::headers::{HEADER_IDEMPOTENCY_KEY, HEADER_PARENT_SPAN_ID, HEADER_TASK_ID, HEADER_TRACE_ID};
use steadfast_workflow::interceptor::read_header;
use temporalio_sdk::interceptors::{ActivityInboundInterceptor, ExecuteActivityInput, ExecuteActivityOutput, Next};

use crate::work_meter::WorkMeter;

tokio::task_local! {
    static CONTEXT: TaskContext;
}

/// The task of the running activity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskContext {
    pub task_id: String,
    pub run_id: String,
    pub trace_id: String,
    pub parent_span_id: String,
    /// The same for every attempt of a tool call; none for other activities.
    pub idempotency_key: Option<String>,
}

/// The context of the running activity; empty outside of an activity. A spawned
/// Tokio task does not inherit it: pass it by value.
pub(crate) fn current() -> TaskContext {
    CONTEXT.try_with(Clone::clone).unwrap_or_default()
}

/// Sets the context of each activity, and counts those that run.
pub(crate) struct ContextInterceptor {
    pub(crate) work: WorkMeter,
}

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
        let running = self.work.begin();
        let activity = async move {
            let result = next.run(input).await;
            drop(running);
            result
        };
        CONTEXT.scope(context, activity).boxed()
    }
}

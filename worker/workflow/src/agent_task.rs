//! The workflow: one task, from its first message to its end.
//!
//! Decides nothing that a library's version could change, reads no clock but the
//! workflow's, and writes nothing: every effect is an activity.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::Value;
use steadfast_core::{
    Body, Failure, Input, ModelAnswer, Segment, Step, StepId, ToolCall, ToolOutput, TurnOutcome, Verdict,
};
use steadfast_crds::agent_tool::{ActivityTool, AgentToolSpec, ArgumentStyle, OnError, ToolKind};
use steadfast_log::{EventKind, TaskStatus};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    ContinueAsNewOptions, SyncWorkflowContext, WorkflowCancellationToken, WorkflowContext, WorkflowContextView,
    WorkflowResult, WorkflowTermination,
    common::{
        UntypedActivity,
        data_converters::RawValue,
        error::{ActivityExecutionError, ApplicationFailure},
        protos::temporal::api::common::v1::Payload,
    },
    workflows::{join_all, select},
};

use crate::{
    activities::{
        Append, AppendEvents, CallHttpTool, HttpToolCall, InvokeModel, LoadRevision, ModelCall, ModelOutcome, Revision,
        RevisionRequest,
    },
    arguments::{object_arguments, positional_arguments},
    calls::function_calls,
    contract::{CompleteTask, Interrupt, Phase, ReceiveEvent, SCHEMA_VERSION, StartTask, TaskState},
    failure,
    history::{bounded_result, foreign_result, model_activity_id, tool_activity_id},
    interceptor::{CallScope, CallScopeKey},
    options,
    packed::Packed,
    store::SegmentStore,
    task::Task,
};

/// A task.
#[workflow]
pub struct AgentTask {
    store: Arc<SegmentStore>,
    /// Absent until the run method has begun.
    task: Option<Task>,
    /// Signals that came before.
    early: Vec<EarlySignal>,
    /// Cancelled when the running turn is to stop.
    turn_token: Option<WorkflowCancellationToken>,
}

enum EarlySignal {
    Receive(ReceiveEvent),
    Complete,
}

impl AgentTask {
    /// A task that keeps what it hears in a store which the activities of this process read.
    pub fn new(store: Arc<SegmentStore>) -> Self {
        Self {
            store,
            task: None,
            early: Vec::new(),
            turn_token: None,
        }
    }
}

#[workflow_methods(factory_only)]
impl AgentTask {
    #[run(name = "AgentTask")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: Packed<StartTask>) -> WorkflowResult<()> {
        let start = input.0;
        if start.schema_version > SCHEMA_VERSION {
            // A newer worker wrote it: wait for one, rather than lose what this one cannot read.
            ctx.force_task_fail(format!(
                "the task's state has schema version {}, this worker reads up to {SCHEMA_VERSION}: run a newer worker",
                start.schema_version
            ));
        }
        begin(ctx, start);
        let conversation = converse(ctx);
        let pump = pump_outbox(ctx);
        futures::pin_mut!(conversation, pump);
        let mut conversation = futures::FutureExt::fuse(conversation);
        let mut pump = futures::FutureExt::fuse(pump);
        let end = select! {
            end = conversation => end?,
            never = pump => match never {},
        };
        ctx.state(|state| state.store.forget(ctx.run_id()));
        match end {
            End::Completed => Ok(()),
            End::Canceled => Err(WorkflowTermination::cancelled()),
            End::HandOver(start) => {
                ctx.continue_as_new(Packed(*start), ContinueAsNewOptions::default())?;
                Ok(())
            }
        }
    }

    #[signal(name = "receive_event")]
    pub fn receive_event(&mut self, ctx: &mut SyncWorkflowContext<Self>, message: ReceiveEvent) {
        let now = timestamp(ctx.workflow_time());
        match &mut self.task {
            Some(task) => task.receive(message, now),
            None => self.early.push(EarlySignal::Receive(message)),
        }
    }

    #[signal(name = "complete_task")]
    pub fn complete_task(&mut self, _: &mut SyncWorkflowContext<Self>, _: CompleteTask) {
        match &mut self.task {
            Some(task) => task.complete_requested = true,
            None => self.early.push(EarlySignal::Complete),
        }
    }

    #[signal(name = "interrupt")]
    pub fn interrupt(&mut self, _: &mut SyncWorkflowContext<Self>, _: Interrupt) {
        // With no turn running there is nothing to stop.
        if let (Some(task), Some(token)) = (&mut self.task, &self.turn_token) {
            task.interrupt_requested = true;
            token.cancel_with_reason("interrupted");
        }
    }

    #[query(name = "state")]
    pub fn state(&self, _: &WorkflowContextView) -> Option<TaskState> {
        self.task.as_ref().map(Task::state)
    }

    #[query(name = "transcript")]
    pub fn transcript(&self, _: &WorkflowContextView) -> Vec<Value> {
        self.task.as_ref().map(Task::items).unwrap_or_default()
    }
}

type Context = WorkflowContext<AgentTask>;

enum End {
    Completed,
    Canceled,
    HandOver(Box<StartTask>),
}

fn begin(ctx: &Context, start: StartTask) {
    let now = now(ctx);
    let run_id = ctx.run_id().to_owned();
    ctx.state_mut(|state| {
        let mut task = Task::new(start, &run_id, state.store.clone(), now);
        for signal in state.early.drain(..) {
            match signal {
                EarlySignal::Receive(message) => task.receive(message, now),
                EarlySignal::Complete => task.complete_requested = true,
            }
        }
        state.task = Some(task);
    });
}

/// Runs turn after turn until the task ends or its run is to be followed by another.
async fn converse(ctx: &Context) -> Result<End, WorkflowTermination> {
    loop {
        if ctx.continue_as_new_suggested() || task(ctx, |task| task.wants_hand_over()) {
            settle_outbox(ctx).await;
            return Ok(End::HandOver(Box::new(task(ctx, |task| task.hand_over()))));
        }
        match task(ctx, |task| task.run.next_step()) {
            Step::AwaitMessage => match await_message(ctx).await? {
                Next::Turn => start_turn(ctx).await?,
                Next::HandOver => {}
                Next::Complete => return finish(ctx, TaskStatus::Completed).await,
                Next::Cancel => return finish(ctx, TaskStatus::Canceled).await,
            },
            Step::CallModel(id) => call_model(ctx, id).await?,
            Step::CallTools(id, calls) => call_tools(ctx, id, calls).await?,
            Step::Done(outcome) => close_turn(ctx, outcome)?,
        }
    }
}

enum Next {
    Turn,
    HandOver,
    Complete,
    Cancel,
}

async fn await_message(ctx: &Context) -> Result<Next, WorkflowTermination> {
    task(ctx, |task| task.phase = Phase::Idle);
    ctx.set_current_details("waits for a message");
    let awaited = ctx
        .wait_condition(|state| {
            state
                .task
                .as_ref()
                .is_some_and(|task| !task.queue.is_empty() || task.complete_requested || task.wants_hand_over())
        })
        .await;
    if awaited.is_err() {
        return Ok(Next::Cancel);
    }
    Ok(task(ctx, |task| {
        match (task.queue.is_empty(), task.complete_requested) {
            (false, _) => Next::Turn,
            (true, true) => Next::Complete,
            (true, false) => Next::HandOver,
        }
    }))
}

/// Reads the newest revision and begins the turn of the oldest message on it.
async fn start_turn(ctx: &Context) -> Result<(), WorkflowTermination> {
    let token = ctx.cancellation_token().child_token();
    let request = task(ctx, |task| {
        // The model call that follows takes along what waits.
        task.carrier_comes = true;
        RevisionRequest {
            agent: task.start.agent.clone(),
            known: task.revision.as_ref().map(|revision| revision.name.clone()),
        }
    });
    ctx.state_mut(|state| state.turn_token = Some(token.clone()));
    let loaded = ctx
        .execute_local_activity(LoadRevision, Packed(request), options::load_revision(token.clone()))
        .await;
    match loaded {
        Ok(Packed(Some(revision))) => task(ctx, |task| task.adopt_revision(revision)),
        Ok(Packed(None)) => {}
        // Asked again while the message waits; a cancelled task ends before that.
        Err(_) => return Ok(()),
    }
    let now = now(ctx);
    task(ctx, |task| match task.start_turn(now) {
        Some(input) => record(task, input),
        None => Ok(()),
    })
}

async fn call_model(ctx: &Context, id: StepId) -> Result<(), WorkflowTermination> {
    let Some((token, revision)) = turn_scope(ctx) else {
        return protocol_error("a model call outside of a turn");
    };
    ctx.set_current_details(format!("turn {}: calls {}", id.turn, revision.spec.model.name));
    let now_at_start = now(ctx);
    let call = task(ctx, |task| {
        task.phase = Phase::CallingModel;
        let (base, new) = task.announce();
        let append = Append {
            outbox: task.outbox.carry(),
            seen: task.log_seen.clone(),
        };
        task.carrier_comes = false;
        ModelCall {
            turn: id.turn,
            step: id.step,
            base,
            new,
            revision: revision.name.clone(),
            now: task.turn_started_at.unwrap_or(now_at_start),
            append,
        }
    });
    let options = options::model_call(model_activity_id(id.turn, id.step), &revision.spec, token.clone());
    let running = scoped(ctx, id, None, || {
        ctx.execute_activity(InvokeModel, Packed(call), options)
    });
    let result = running.await;
    let now = now(ctx);
    task(ctx, |task| match result {
        Ok(Packed(outcome)) => {
            let calls = take_answer(task, id, outcome, now);
            record(task, Input::ModelAnswered(ModelAnswer { calls }))
        }
        Err(error) => {
            task.outbox.settle(0);
            record(
                task,
                Input::Failed(failed_step(task.interrupt_requested, &token, &error)),
            )
        }
    })
}

/// The answer joins the transcript; what of it the log lacks waits in the outbox.
fn take_answer(task: &mut Task, id: StepId, outcome: ModelOutcome, now: jiff::Timestamp) -> Vec<ToolCall> {
    let calls = function_calls(&outcome.items, &outcome.refused);
    let segment = Segment {
        turn: id.turn,
        step: id.step,
        at: now,
        body: Body::Model { items: outcome.items },
    };
    task.settle(&outcome.log);
    task.count_usage(outcome.usage);
    if outcome.log.behind {
        task.tell_of(&segment);
    }
    task.join(segment);
    calls
}

async fn call_tools(ctx: &Context, id: StepId, calls: Vec<ToolCall>) -> Result<(), WorkflowTermination> {
    let Some((token, revision)) = turn_scope(ctx) else {
        return protocol_error("a tool call outside of a turn");
    };
    task(ctx, |task| task.phase = Phase::CallingTools);
    let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
    ctx.set_current_details(format!("turn {}: calls {}", id.turn, names.join(", ")));
    let outputs = join_all(
        calls
            .into_iter()
            .map(|call| call_tool(ctx, id, call, &revision, &token)),
    )
    .await;
    let now = now(ctx);
    task(ctx, |task| {
        task.carrier_comes = true;
        let mut failure = None;
        for done in outputs {
            let by_task = done.made_by == MadeBy::Task;
            let body = Body::Tool {
                index: done.index,
                output: done.output,
                by_task,
            };
            let segment = Segment {
                turn: id.turn,
                step: id.step,
                at: now,
                body,
            };
            if done.made_by != MadeBy::OurActivity {
                task.tell_of(&segment);
            }
            task.join(segment);
            failure = failure.or(done.fails_turn);
        }
        if token.is_cancelled() {
            failure = Some(stopped(task.interrupt_requested));
        }
        record(task, failure.map_or(Input::ToolsFinished, Input::Failed))
    })
}

struct ToolDone {
    index: u32,
    output: ToolOutput,
    made_by: MadeBy,
    fails_turn: Option<Failure>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MadeBy {
    /// It wrote its answer to the log itself.
    OurActivity,
    ForeignActivity,
    Task,
}

async fn call_tool(
    ctx: &Context,
    id: StepId,
    call: ToolCall,
    revision: &Revision,
    token: &WorkflowCancellationToken,
) -> ToolDone {
    let output = |content: Value, is_error: bool| ToolOutput {
        call_id: call.call_id.clone(),
        name: call.name.clone(),
        content,
        is_error,
    };
    let refused = |reason: String| ToolDone {
        index: call.index,
        output: output(Value::String(reason), true),
        made_by: MadeBy::Task,
        fails_turn: None,
    };
    if let Verdict::Refuse(reason) = &call.verdict {
        return refused(reason.clone());
    }
    let tool = revision
        .spec
        .tools
        .iter()
        .find(|tool| tool.name == call.name)
        .map(|tool| &tool.spec);
    let Some((spec, kind)) = tool.and_then(|spec| Some((spec, spec.kind()?))) else {
        return refused(format!("there is no tool {:?}", call.name));
    };
    let activity_id = tool_activity_id(id.turn, id.step, call.index);
    let agent = &revision.spec.agent;
    let result = match kind {
        ToolKind::Activity(tool) => {
            let heartbeat = tool.heartbeat_timeout.as_ref().map(|timeout| timeout.as_std());
            let queue = Some(tool.task_queue.clone());
            let options = options::tool_call(activity_id, agent, &call.name, spec, queue, heartbeat, token.clone());
            let arguments = match foreign_arguments(ctx, id, &call, tool, spec) {
                Ok(arguments) => arguments,
                Err(reason) => return refused(reason),
            };
            let running = scoped(ctx, id, Some(&call), || {
                ctx.execute_activity(UntypedActivity::new(&tool.name), RawValue::new(arguments), options)
            });
            running.await.map(|result| {
                let content = bounded_result(Some(&revision.spec), &call.name, foreign_result(&result.payloads));
                (output(content, false), MadeBy::ForeignActivity)
            })
        }
        ToolKind::Http(_) => {
            let options = options::tool_call(activity_id, agent, &call.name, spec, None, None, token.clone());
            let input = HttpToolCall {
                turn: id.turn,
                step: id.step,
                index: call.index,
                tool: call.name.clone(),
                revision: revision.name.clone(),
                seen: task(ctx, |task| task.log_seen.clone()),
            };
            let running = scoped(ctx, id, Some(&call), || {
                ctx.execute_activity(CallHttpTool, Packed(input), options)
            });
            running.await.map(|Packed(outcome)| {
                task(ctx, |task| task.note_log(&outcome.log));
                let made_by = if outcome.log.behind {
                    MadeBy::ForeignActivity
                } else {
                    MadeBy::OurActivity
                };
                (
                    output(
                        bounded_result(Some(&revision.spec), &call.name, outcome.content),
                        outcome.is_error,
                    ),
                    made_by,
                )
            })
        }
    };
    match result {
        Ok((output, made_by)) => ToolDone {
            index: call.index,
            output,
            made_by,
            fails_turn: None,
        },
        Err(error) => {
            let (category, message) = failure::describe(&error);
            let fails_turn = (spec.on_error == OnError::FailTurn).then(|| Failure::Error {
                category: "tool_failed".to_owned(),
                message: format!("tool {:?} failed ({category}): {message}", call.name),
            });
            ToolDone {
                fails_turn,
                ..refused(format!("the tool failed ({category}): {message}"))
            }
        }
    }
}

/// Plain JSON, so that a worker in any language reads it.
fn foreign_arguments(
    ctx: &Context,
    id: StepId,
    call: &ToolCall,
    tool: &ActivityTool,
    spec: &AgentToolSpec,
) -> Result<Vec<Payload>, String> {
    let arguments = task(ctx, |task| task.arguments(id, call.index))?;
    match tool.argument_style {
        ArgumentStyle::Object => object_arguments(&arguments),
        ArgumentStyle::Positional => positional_arguments(&arguments, &spec.parameters),
    }
}

fn close_turn(ctx: &Context, outcome: TurnOutcome) -> Result<(), WorkflowTermination> {
    let now = now(ctx);
    ctx.state_mut(|state| state.turn_token = None);
    task(ctx, |task| {
        task.close_open_calls(now, "this call was not run: the turn ended before it");
        task.close_turn(outcome, now);
        task.carrier_comes = false;
        record(task, Input::TurnClosed)
    })
}

async fn finish(ctx: &Context, status: TaskStatus) -> Result<End, WorkflowTermination> {
    let now = now(ctx);
    task(ctx, |task| {
        task.phase = Phase::Ending;
        task.emit(0, now, EventKind::TaskUpdated { status, reason: None });
    });
    settle_outbox(ctx).await;
    Ok(if status == TaskStatus::Canceled {
        End::Canceled
    } else {
        End::Completed
    })
}

/// Lets the pump empty the outbox, for a while: a task does not depend on its log.
async fn settle_outbox(ctx: &Context) {
    task(ctx, |task| task.carrier_comes = false);
    let detached = WorkflowCancellationToken::new();
    let emptied = ctx.wait_condition_with_options(
        |state| state.task.as_ref().is_none_or(|task| task.outbox.is_empty()),
        temporalio_workflow::WaitConditionOptions::builder()
            .cancellation_token(detached.clone())
            .build(),
    );
    let timer = ctx.timer(
        temporalio_workflow::TimerOptions::builder(options::FINAL_FLUSH)
            .cancellation_token(detached.clone())
            .build(),
    );
    futures::pin_mut!(emptied, timer);
    select! {
        _ = emptied => {}
        _ = timer => {}
    }
}

/// Brings to the log what no other activity takes along, beside the conversation and never in its way.
async fn pump_outbox(ctx: &Context) -> std::convert::Infallible {
    let never_cancelled = WorkflowCancellationToken::new();
    loop {
        let options = temporalio_workflow::WaitConditionOptions::builder()
            .cancellation_token(never_cancelled.clone())
            .build();
        let waited = ctx
            .wait_condition_with_options(
                |state| {
                    state
                        .task
                        .as_ref()
                        .is_some_and(|task| !task.carrier_comes && task.outbox.has_uncarried())
                },
                options,
            )
            .await;
        if waited.is_err() {
            continue;
        }
        let append = task(ctx, |task| Append {
            outbox: task.outbox.carry(),
            seen: task.log_seen.clone(),
        });
        if let Ok(Packed(ack)) = ctx
            .execute_activity(AppendEvents, Packed(append), options::append_events())
            .await
        {
            task(ctx, |task| task.settle(&ack));
        } else {
            task(ctx, |task| task.outbox.settle(0));
        }
    }
}

fn failed_step(interrupted: bool, token: &WorkflowCancellationToken, error: &ActivityExecutionError) -> Failure {
    if token.is_cancelled() {
        return stopped(interrupted);
    }
    let (category, message) = failure::describe(error);
    Failure::Error { category, message }
}

fn stopped(interrupted: bool) -> Failure {
    if interrupted {
        Failure::Interrupted
    } else {
        Failure::Canceled
    }
}

fn turn_scope(ctx: &Context) -> Option<(WorkflowCancellationToken, Revision)> {
    ctx.state(|state| {
        let revision = state.task.as_ref().and_then(|task| task.revision.clone())?;
        // After a hand-over in the middle of a turn there is a turn but no token yet.
        let token = state
            .turn_token
            .clone()
            .unwrap_or_else(|| ctx.cancellation_token().child_token());
        Some((token, revision))
    })
    .inspect(|(token, _)| ctx.state_mut(|state| state.turn_token = Some(token.clone())))
}

/// Schedules a call within its scope, which the interceptor turns into headers.
fn scoped<R>(ctx: &Context, step: StepId, tool: Option<&ToolCall>, schedule: impl FnOnce() -> R) -> R {
    let idempotency_key = tool.map(|call| {
        format!(
            "{}/{}",
            ctx.workflow_id(),
            tool_activity_id(step.turn, step.step, call.index)
        )
    });
    ctx.with_context_value_sync::<CallScopeKey, _>(CallScope { step, idempotency_key }, schedule)
}

fn task<R>(ctx: &Context, change: impl FnOnce(&mut Task) -> R) -> R {
    ctx.state_mut(|state| {
        #[expect(clippy::expect_used, reason = "begin() sets it before anything else runs")]
        change(state.task.as_mut().expect("the task has begun"))
    })
}

fn record(task: &mut Task, input: Input) -> Result<(), WorkflowTermination> {
    task.run
        .record(input)
        .or_else(|violation| protocol_error(&violation.to_string()))
}

/// A fault of ours: the task fails loudly instead of going on in an impossible state.
fn protocol_error(message: &str) -> Result<(), WorkflowTermination> {
    let failure = ApplicationFailure::builder(std::io::Error::other(message.to_owned()))
        .type_name("ProtocolViolation".to_owned())
        .non_retryable(true)
        .build();
    Err(WorkflowTermination::failed_application(failure))
}

fn now(ctx: &Context) -> jiff::Timestamp {
    timestamp(ctx.workflow_time())
}

fn timestamp(time: Option<std::time::SystemTime>) -> jiff::Timestamp {
    let since = time
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or(Duration::ZERO);
    // Milliseconds are what people read, and what keeps payloads short.
    i64::try_from(since.as_millis())
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or_default()
}

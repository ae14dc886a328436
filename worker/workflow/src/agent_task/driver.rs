//! Drives a task: one loop over the steps of the agent loop. Beside it run the outbox relay, the
//! time limits and the cancel broadcasts, none of which the loop waits for.

mod child_workflow;
mod commands;
mod deadlines;
mod guardrails;
mod handoff;
mod hooks;
mod human_approval;
mod model;
mod outbox_relay;
mod state_pages;
mod tools;
mod visibility;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use steadfast_agent_loop::{Failure, Input, Step, StepId, ToolCall, TurnOutcome};
use steadfast_contract::{
    activities::{LoadedRevision, Revision, RevisionRequest},
    activity_ids::tool_activity_id,
    failures::{PROTOCOL_VIOLATION, START_REFUSED, TASK_TIMED_OUT},
    queries::Phase,
    start::{StartTask, TaskResult},
    tool_targets::NamespaceQueues,
    visibility::{MEMO_AGENT, MEMO_CREATOR, MEMO_LOG, VisiblePhase},
};
use steadfast_crds::agent::HookEvent;
use steadfast_events::{EventKind, TaskStatus};
use steadfast_payload::Packed;
use temporalio_workflow::{
    ContinueAsNewOptions, ContinueAsNewVersioningBehavior, MemoValues, WorkflowCancellationToken, WorkflowContext,
    WorkflowResult, WorkflowTermination,
    common::error::{ActivityExecutionError, ApplicationFailure},
    workflows::select,
};

use crate::{
    activities::LoadRevision,
    activity_options,
    agent_task::{AgentTask, start_check},
    failure::CallError,
    interceptor::{CallScope, CallScopeKey},
    task::{NewestRevision, Task},
    task_input::TaskInput,
};

/// Why the token of a turn was cancelled.
pub(super) const INTERRUPTED: &str = "interrupted";

type Context = WorkflowContext<AgentTask>;

enum End {
    Completed,
    Canceled,
    TimedOut,
    ContinueAsNew {
        start: Box<StartTask>,
        /// That of this run when absent.
        task_queue: Option<String>,
    },
}

/// Runs a task until it ends or continues as new.
pub(crate) async fn run(ctx: &Context, start: StartTask) -> WorkflowResult<TaskResult> {
    let continues = ctx.info().continued_from_run_id().is_some();
    let checked = ctx.state(|state| start_check::check(&start, state.serves.as_ref(), continues));
    if let Err(refused) = checked {
        return Err(failed(START_REFUSED, &refused.to_string()));
    }
    begin(ctx, start);
    let conversation = converse(ctx);
    let relay = outbox_relay::run(ctx);
    let deadlines = deadlines::watch(ctx);
    let cancels = deadlines::broadcast_cancels(ctx);
    let queue = visibility::show_full_queue(ctx);
    futures::pin_mut!(conversation, relay, deadlines, cancels, queue);
    let mut conversation = futures::FutureExt::fuse(conversation);
    let mut relay = futures::FutureExt::fuse(relay);
    let mut deadlines = futures::FutureExt::fuse(deadlines);
    let mut cancels = futures::FutureExt::fuse(cancels);
    let mut queue = futures::FutureExt::fuse(queue);
    let end = select! {
        end = conversation => end?,
        never = relay => match never {},
        never = deadlines => match never {},
        never = cancels => match never {},
        never = queue => match never {},
    };
    match end {
        End::Completed => Ok(read(ctx, Task::result)),
        End::Canceled => Err(WorkflowTermination::cancelled()),
        End::TimedOut => Err(failed(TASK_TIMED_OUT, "the task took longer than limits.taskTimeout")),
        End::ContinueAsNew { start, task_queue } => {
            let options = ContinueAsNewOptions::builder()
                .maybe_task_queue(task_queue)
                .memo(memo(ctx))
                .search_attributes(ctx.search_attributes())
                .maybe_initial_versioning_behavior(version_of_next_run(ctx))
                .build();
            ctx.continue_as_new(TaskInput::from(*start), options)?;
            Ok(read(ctx, Task::result))
        }
    }
}

/// A run of a worker with a version stays on that version. The next one starts on the version that is current then, which
/// it would not do by itself. `None` for a worker without one.
fn version_of_next_run(ctx: &Context) -> Option<ContinueAsNewVersioningBehavior> {
    let version = ctx.current_deployment_version()?;
    // A worker without a version has a build id too, which is a hash of the program.
    (!version.deployment_name.is_empty()).then_some(ContinueAsNewVersioningBehavior::AutoUpgrade)
}

/// The task queues that the tools, hooks and guardrails of the agent with the turn may name. `None` where the task
/// queue of the task does not have the operator's form.
fn own_queues(ctx: &Context) -> Option<NamespaceQueues> {
    let home = NamespaceQueues::of_agent_queue(ctx.task_queue())?;
    let acting = read(ctx, Task::acting_queue);
    Some(acting.map_or_else(|| home.clone(), |queue| home.at(&queue)))
}

fn begin(ctx: &Context, mut start: StartTask) {
    let now = now(ctx);
    let run_id = ctx.run_id().to_owned();
    if start.task_id.is_empty() {
        // A schedule started the task and gave the workflow its id.
        ctx.workflow_id().clone_into(&mut start.task_id);
    }
    ctx.info().first_execution_run_id().clone_into(&mut start.first_run_id);
    ctx.state_mut(|state| {
        state.task = Some(Task::new(start, &run_id, state.sink.clone(), now));
    });
    receive_early(ctx);
}

/// Takes in the signals that came before the state of the task.
fn receive_early(ctx: &Context) {
    let now = now(ctx);
    ctx.state_mut(|state| {
        for signal in state.take_early() {
            state.receive_signal(signal, now);
        }
    });
}

/// Runs turn after turn until the task ends or continues as new.
async fn converse(ctx: &Context) -> Result<End, WorkflowTermination> {
    state_pages::fetch(ctx).await?;
    prepare(ctx).await?;
    replace_stale_revision(ctx).await;
    loop {
        if wants_continue_as_new(ctx) {
            outbox_relay::flush(ctx, activity_options::CONTINUE_FLUSH).await;
            let own_queue = ctx.task_queue().to_owned();
            let task_queue = update(ctx, |task| task.change_over(&own_queue));
            let start = Box::new(state_pages::next_input(ctx).await?);
            return Ok(End::ContinueAsNew { start, task_queue });
        }
        visibility::show_long_turn(ctx);
        match read(ctx, |task| task.state.agent_run.next_step()) {
            Step::AwaitMessage => match await_message(ctx).await? {
                Next::Turn => start_turn(ctx).await?,
                Next::ContinueAsNew => {}
                Next::End(status) => return finish(ctx, status).await,
            },
            Step::CheckInput(id) => guardrails::check_input(ctx, id).await?,
            Step::Compact(id) => model::compact(ctx, id).await?,
            Step::CallModel(id) => model::call_model(ctx, id).await?,
            Step::CallTools(id, calls) => tools::call_tools(ctx, id, calls).await?,
            Step::HandOff(id, to) => handoff::hand_off(ctx, id, &to).await?,
            Step::CheckOutput(id) => guardrails::check_output(ctx, id).await?,
            Step::Done(outcome) => {
                close_turn(ctx, outcome).await?;
                if read(ctx, |task| task.start.one_turn) {
                    return finish(ctx, TaskStatus::Completed).await;
                }
            }
        }
    }
}

fn wants_continue_as_new(ctx: &Context) -> bool {
    read(ctx, |task| is_continue_as_new_due(ctx, task))
}

/// For every wait that may last: it ends when the run is to continue as new.
fn is_continue_as_new_due(ctx: &Context, task: &Task) -> bool {
    task.wants_continue_as_new()
        || task.is_move_due(ctx.task_queue())
        || (ctx.continue_as_new_suggested() && task.follows_suggestion(ctx.history_length()))
}

/// What a new task does before its first turn.
async fn prepare(ctx: &Context) -> Result<(), WorkflowTermination> {
    let (is_new, parent) = read(ctx, |task| {
        let is_new = task.state.revision.is_none();
        (is_new, task.start.parent.is_some().then(|| task.start.clone()))
    });
    if !is_new {
        return Ok(());
    }
    if let Some(start) = parent {
        // A child workflow starts without a memo; the gateway decides access by these fields.
        let agent = format!("{}/{}", start.namespace, start.agent);
        human_approval::upsert_memo(
            ctx,
            [
                (MEMO_AGENT, json!(agent)),
                (MEMO_CREATOR, json!(start.creator)),
                (MEMO_LOG, json!(start.log_id())),
            ],
        )?;
        return Ok(());
    }
    // Where a message has come with the start, the first model call takes the outbox along.
    update(ctx, |task| task.local.piggyback_pending = true);
    let loaded = load_revision(ctx, &ctx.cancellation_token()).await;
    visibility::show(ctx, VisiblePhase::Idle);
    let now = now(ctx);
    update(ctx, |task| {
        if loaded {
            task.local.newest_revision = NewestRevision::Read;
        }
        let welcome = task
            .state
            .revision
            .as_ref()
            .map(|revision| revision.spec.welcome.clone());
        if let Some(welcome) = welcome.filter(|welcome| !welcome.is_empty()) {
            task.send_text(0, now, welcome);
        }
    });
    Ok(())
}

/// In the middle of a turn whose agent has moved: the rest of the turn runs on the newest revision, which was made for the
/// workers that run it now.
async fn replace_stale_revision(ctx: &Context) {
    let token = ctx.cancellation_token();
    while read(ctx, |task| task.state.revision_is_stale) && !token.is_cancelled() {
        if load_revision(ctx, &token).await {
            update(ctx, |task| task.state.revision_is_stale = false);
        }
    }
}

enum Next {
    Turn,
    ContinueAsNew,
    End(TaskStatus),
}

async fn await_message(ctx: &Context) -> Result<Next, WorkflowTermination> {
    ctx.set_current_details("waits for a message");
    let waits = update(ctx, |task| {
        task.local.phase = Phase::Idle;
        let waits = task.state.inbox.is_empty();
        if waits {
            task.local.piggyback_pending = false;
            task.local.newest_revision = NewestRevision::Unread;
        }
        waits
    });
    if waits {
        visibility::show(ctx, VisiblePhase::Idle);
        read(ctx, Task::rest);
    }
    let awaited = ctx
        .wait_condition(|state| {
            state.task.as_ref().is_some_and(|task| {
                !task.state.inbox.is_empty()
                    || task.state.inbox.is_completion_requested()
                    || task.is_timed_out()
                    || is_continue_as_new_due(ctx, task)
            })
        })
        .await;
    if waits {
        read(ctx, Task::wake);
    }
    // With a message in the queue the wait is over before it sees the cancellation.
    if awaited.is_err() || ctx.cancellation_token().is_cancelled() {
        return Ok(Next::End(TaskStatus::Canceled));
    }
    Ok(read(ctx, |task| {
        match (task.state.inbox.is_empty(), task.state.inbox.is_completion_requested()) {
            _ if task.is_timed_out() => Next::End(TaskStatus::TimedOut),
            (false, _) => Next::Turn,
            (true, true) => Next::End(TaskStatus::Completed),
            (true, false) => Next::ContinueAsNew,
        }
    }))
}

/// Reads the newest revision and begins the turn of the oldest message on it.
async fn start_turn(ctx: &Context) -> Result<(), WorkflowTermination> {
    let is_loaded = update(ctx, |task| {
        // The model call that follows takes the outbox along.
        task.local.piggyback_pending = true;
        std::mem::take(&mut task.local.newest_revision) == NewestRevision::Read
    });
    // An interrupt that is known already stops the turn, which cannot begin without its revision.
    let loading = ctx.cancellation_token().child_token();
    if !read(ctx, Task::is_interrupted) {
        ctx.state_mut(|state| state.turn_token = Some(loading.clone()));
    }
    if !is_loaded && !load_revision(ctx, &loading).await {
        // The loop asks again while the message waits; a cancelled task ends before that.
        update(ctx, |task| task.local.piggyback_pending = false);
        return Ok(());
    }
    if read(ctx, |task| task.start.one_turn) {
        visibility::show(ctx, VisiblePhase::Running);
    }
    let now = now(ctx);
    let agent = update(ctx, |task| match task.start_turn(now) {
        Some(input) => {
            let agent = task.acting_agent().to_owned();
            record(task, input).map(|()| Some(agent))
        }
        None => Ok(None),
    })?;
    ensure_turn_token(ctx);
    if let Some(agent) = agent {
        handoff::agent_started(ctx, &agent).await;
    }
    Ok(())
}

/// Reads the newest revision of the agent that has the turn. False when none could be read.
async fn load_revision(ctx: &Context, token: &WorkflowCancellationToken) -> bool {
    let (request, queue) = read(ctx, |task| {
        let agent = task.acting_agent().to_owned();
        let known = task
            .state
            .revision
            .as_ref()
            .filter(|revision| revision.spec.agent == agent);
        let request = RevisionRequest {
            known: known.map(|revision| revision.name.clone()),
            agent,
            asks_search_attributes: !task.state.search_attributes,
        };
        (request, task.acting_queue())
    });
    let loaded = match queue {
        None => load_own_revision(ctx, request, token).await,
        // The other agent's workers watch its revisions. They may be away for long: the outbox must not wait for them.
        Some(queue) => {
            update(ctx, |task| task.local.piggyback_pending = false);
            let options = activity_options::load_revision_of(&request.agent, queue, token.clone());
            ctx.execute_activity(LoadRevision, Packed(request), options).await
        }
    };
    match loaded {
        Ok(Packed(loaded)) => {
            update(ctx, |task| task.adopt_revision(loaded));
            true
        }
        Err(_) => false,
    }
}

async fn load_own_revision(
    ctx: &Context,
    request: RevisionRequest,
    token: &WorkflowCancellationToken,
) -> Result<Packed<LoadedRevision>, ActivityExecutionError> {
    let options = activity_options::try_load_revision(token.clone());
    let first = ctx.execute_local_activity(LoadRevision, Packed(request.clone()), options);
    let loaded = first.await;
    if loaded.is_ok() || token.is_cancelled() {
        return loaded;
    }
    // It may take long until there is one: the outbox must not wait for it.
    update(ctx, |task| task.local.piggyback_pending = false);
    let options = activity_options::load_revision(token.clone());
    ctx.execute_local_activity(LoadRevision, Packed(request), options).await
}

async fn close_turn(ctx: &Context, outcome: TurnOutcome) -> Result<(), WorkflowTermination> {
    let agent = read(ctx, |task| task.acting_agent().to_owned());
    hooks::tell(ctx, HookEvent::AgentEnded, || json!({"agent": agent})).await;
    let now = now(ctx);
    ctx.state_mut(|state| state.turn_token = None);
    update(ctx, |task| {
        task.close_open_calls(now, "this call was not run: the turn ended before it");
        task.close_turn(outcome, now);
        task.local.piggyback_pending = false;
        record(task, Input::TurnClosed)
    })
}

async fn finish(ctx: &Context, status: TaskStatus) -> Result<End, WorkflowTermination> {
    let now = now(ctx);
    update(ctx, |task| {
        task.local.phase = Phase::Ending;
        task.drop_queued_messages(status, now);
        // A child task answers one question; the conversation belongs to its parent.
        if task.start.parent.is_none() {
            task.emit(0, now, EventKind::TaskUpdated { status, reason: None });
        }
    });
    outbox_relay::flush(ctx, activity_options::FINAL_FLUSH).await;
    outbox_relay::leave_in_history(ctx);
    Ok(match status {
        TaskStatus::Canceled => End::Canceled,
        TaskStatus::TimedOut => End::TimedOut,
        _ => End::Completed,
    })
}

/// The task's memo as it is now. Without it the next run would begin with the memo of the first.
fn memo(ctx: &Context) -> MemoValues {
    let current = ctx.memo();
    let mut values = MemoValues::new();
    for name in current.keys() {
        if let Ok(Some(value)) = current.get::<serde_json::Value>(name) {
            values.insert(name, value);
        }
    }
    values
}

fn failed_step(ctx: &Context, token: &WorkflowCancellationToken, error: &CallError) -> Failure {
    if token.is_cancelled() {
        return stopped(ctx);
    }
    let (category, message) = error.describe();
    Failure::Error { category, message }
}

fn stopped(ctx: &Context) -> Failure {
    read(ctx, Task::stop_reason)
}

/// The token and the revision of the running turn; `None` between turns.
fn turn_scope(ctx: &Context) -> Option<(WorkflowCancellationToken, Arc<Revision>)> {
    let revision = read(ctx, |task| task.state.revision.clone())?;
    Some((ensure_turn_token(ctx), revision))
}

/// The token of the running turn. After continue-as-new in the middle of a turn there is none yet; an
/// interrupt may have come before it.
fn ensure_turn_token(ctx: &Context) -> WorkflowCancellationToken {
    if let Some(token) = ctx.state(|state| state.turn_token.clone()) {
        return token;
    }
    let token = ctx.cancellation_token().child_token();
    if read(ctx, Task::is_interrupted) {
        token.cancel_with_reason(INTERRUPTED);
    }
    ctx.state_mut(|state| state.turn_token = Some(token.clone()));
    token
}

/// Schedules a call within its scope, which the interceptor turns into headers.
fn scoped<R>(ctx: &Context, step: StepId, tool: Option<(&ToolCall, &str)>, schedule: impl FnOnce() -> R) -> R {
    let idempotency_key = tool.map(|(call, part)| {
        let call = tool_activity_id(step.turn, step.step, call.index);
        // A task id may be used again, and turns count from 1 in each task: the first run tells the tasks apart.
        format!("{}/{call}{part}", read(ctx, |task| task.start.first_run_id.clone()))
    });
    ctx.with_context_value_sync::<CallScopeKey, _>(CallScope { step, idempotency_key }, schedule)
}

/// Reads the task. Conditions that wait for a change of it are not evaluated again.
fn read<R>(ctx: &Context, read: impl FnOnce(&Task) -> R) -> R {
    ctx.state(|state| {
        #[expect(clippy::expect_used, reason = "begin() sets it before anything else runs")]
        read(state.task.as_ref().expect("the task has begun"))
    })
}

/// Changes the task, and has the conditions that wait for a change of it evaluated again.
fn update<R>(ctx: &Context, change: impl FnOnce(&mut Task) -> R) -> R {
    ctx.state_mut(|state| {
        #[expect(clippy::expect_used, reason = "begin() sets it before anything else runs")]
        change(state.task.as_mut().expect("the task has begun"))
    })
}

fn record(task: &mut Task, input: Input) -> Result<(), WorkflowTermination> {
    task.state
        .agent_run
        .record(input)
        .or_else(|violation| protocol_error(&violation.to_string()))
}

/// Fails the task for a fault of ours, instead of going on in an impossible state.
fn protocol_error(message: &str) -> Result<(), WorkflowTermination> {
    Err(failed(PROTOCOL_VIOLATION, message))
}

fn failed(category: &str, message: &str) -> WorkflowTermination {
    let failure = ApplicationFailure::builder(std::io::Error::other(message.to_owned()))
        .type_name(category.to_owned())
        .non_retryable(true)
        .build();
    WorkflowTermination::failed_application(failure)
}

fn now(ctx: &Context) -> jiff::Timestamp {
    timestamp(ctx.workflow_time())
}

/// The workflow's time in whole milliseconds, which is precise enough to read and short in payloads.
pub(crate) fn timestamp(time: Option<SystemTime>) -> jiff::Timestamp {
    let since = time
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis())
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or_default()
}

//! Tool calls of one step, all at once. Each waits for a person if it must, runs
//! as what its tool is, and has a result in the end, whatever happens.

use serde_json::{Value, json};
use steadfast_core::{
    AfterTools, Body, Failure, Input, Segment, StepId, ToolCall, ToolOutput, Verdict, tool_call::bounded,
};
use steadfast_crds::{
    agent::HookEvent,
    agent_revision::{RevisionAgent, RevisionTool},
    agent_tool::{
        ActivityTool, AgentToolSpec, ApprovalPolicy, ArgumentStyle, HumanTool, OnError, OnTimeout, ToolKind,
        WorkflowTool,
    },
};
use steadfast_log::{ApprovalKind, Decision, EventKind};
use temporalio_workflow::{
    WorkflowCancellationToken, WorkflowTermination,
    common::{UntypedActivity, data_converters::RawValue, protos::temporal::api::common::v1::Payload},
    workflows::join_all,
};

use super::{
    Context,
    children::{self, AskedAgent, ChildFailure},
    hooks, now,
    people::{self, Asked, Question},
    protocol_error, record, scoped, steps, stopped, task, turn_scope,
};
use crate::{
    activities::{
        CallHttpTool, CallMcpTool, HttpToolCall, McpAnswer, McpInputRequest, McpTarget, McpToolCall, Revision,
    },
    approvals::Decided,
    arguments::{object_arguments, positional_arguments},
    calls::{FinishedCall, MadeBy, TurnFailure},
    contract::Phase,
    failure,
    history::{bounded_result, foreign_result, tool_activity_id},
    options::{self, ToolCallOptions},
    packed::Packed,
    policy::{self, Callee},
    task::Task,
};

/// How often a tool may ask for more in the middle of one call.
const MOST_ROUNDS: u32 = 10;
/// Category of a turn that waited for a person in vain.
const APPROVAL_EXPIRED: &str = "approval_expired";

/// One call in its whole situation.
pub(super) struct Calling<'a> {
    pub ctx: &'a Context,
    pub id: StepId,
    pub call: &'a ToolCall,
    pub revision: &'a Revision,
    pub token: &'a WorkflowCancellationToken,
}

/// How a call left the step.
pub(super) enum CallEnd {
    Finished(Box<FinishedCall>),
    /// It waits for a person, and another run goes on with it.
    Suspended,
}

/// The same once the task keeps what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Finished,
    Suspended,
}

pub(super) fn finished(call: FinishedCall) -> CallEnd {
    CallEnd::Finished(Box::new(call))
}

pub(super) async fn call_tools(ctx: &Context, id: StepId, calls: Vec<ToolCall>) -> Result<(), WorkflowTermination> {
    let Some((token, revision)) = turn_scope(ctx) else {
        return protocol_error("a tool call outside of a turn");
    };
    let open: Vec<&ToolCall> = task(ctx, |task| {
        task.phase = Phase::CallingTools;
        let is_open = |call: &&ToolCall| !task.finished_calls.contains_key(&call.index);
        calls.iter().filter(is_open).collect()
    });
    let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
    ctx.set_current_details(format!("turn {}: calls {}", id.turn, names.join(", ")));
    let ends = join_all(open.into_iter().map(|call| {
        let calling = Calling {
            ctx,
            id,
            call,
            revision: &revision,
            token: &token,
        };
        async move { finish_call(&calling).await }
    }))
    .await;
    for end in ends {
        if end? == Left::Suspended {
            // The loop hands over; the next run goes on with this very step.
            return Ok(());
        }
    }
    let now = now(ctx);
    let failure = token.is_cancelled().then(|| stopped(ctx));
    task(ctx, |task| {
        task.carrier_comes = true;
        let finished = std::mem::take(&mut task.finished_calls);
        task.progress.clear();
        let after = after(&revision, &calls, &finished);
        let mut failed = None;
        let mut last_words = None;
        for (index, done) in finished {
            if after == AfterTools::Stop && last_words.is_none() && ends_turn(&revision, &done.output) {
                last_words = Some(words(&done.output.content));
            }
            failed = failed.or(done.fails_turn.clone());
            join(task, id, index, done, now);
        }
        let failed = failed.map(|TurnFailure { category, message }| Failure::Error { category, message });
        if let Some(failure) = failure.or(failed) {
            return record(task, Input::Failed(failure));
        }
        if let Some(words) = last_words {
            task.say_text(id.turn, now, words);
        }
        record(task, Input::ToolsFinished(after))
    })
}

fn join(task: &mut Task, id: StepId, index: u32, done: FinishedCall, now: jiff::Timestamp) {
    let by_task = done.made_by == MadeBy::Task;
    let body = Body::Tool {
        index,
        output: done.output,
        by_task,
    };
    let segment = Segment {
        turn: id.turn,
        step: id.step,
        at: now,
        body,
    };
    if done.suppressed {
        task.take_back(&segment, now);
    } else if done.made_by != MadeBy::OurActivity {
        task.tell_of(&segment);
    }
    task.join(segment);
}

fn after(
    revision: &Revision,
    calls: &[ToolCall],
    finished: &std::collections::BTreeMap<u32, FinishedCall>,
) -> AfterTools {
    let in_order = || calls.iter().filter_map(|call| finished.get(&call.index));
    if let Some(to) = in_order().find_map(|done| done.hands_over_to.clone()) {
        return AfterTools::HandOver(to);
    }
    if in_order().any(|done| ends_turn(revision, &done.output)) {
        return AfterTools::Stop;
    }
    AfterTools::CallModel
}

fn ends_turn(revision: &Revision, output: &ToolOutput) -> bool {
    !output.is_error && revision.spec.tool_use.stops_after(&output.name)
}

fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Brings one call to its end and keeps what came of it.
async fn finish_call(calling: &Calling<'_>) -> Result<Left, WorkflowTermination> {
    let (ctx, call) = (calling.ctx, calling.call);
    let CallEnd::Finished(mut done) = run_call(calling).await? else {
        return Ok(Left::Suspended);
    };
    let about = || {
        json!({
            "tool": call.name, "tool_call_id": call.call_id, "is_error": done.output.is_error,
            "result": done.output.content,
        })
    };
    let effects = hooks::tell(ctx, HookEvent::ToolEnded, about).await;
    done.suppressed |= effects.suppress;
    task(ctx, |task| task.finished_calls.insert(call.index, *done));
    Ok(Left::Finished)
}

async fn run_call(calling: &Calling<'_>) -> Result<CallEnd, WorkflowTermination> {
    let Calling {
        ctx, call, revision, ..
    } = *calling;
    if let Verdict::Refuse(reason) = &call.verdict {
        return Ok(calling.refused(reason.clone()));
    }
    let progress = task(ctx, |task| task.progress.get(&call.index).cloned().unwrap_or_default());
    let target = progress.mcp.as_ref();
    let Some(callee) = policy::callee(&revision.spec, &call.name, target) else {
        return Ok(calling.refused(format!("there is no tool {:?}", call.name)));
    };
    if !progress.approved {
        if let Some(policy) = policy::required_approval(callee, target) {
            if let Some(end) = approve(calling, &policy).await? {
                return Ok(end);
            }
            calling.tell_started();
        }
        task(ctx, |task| task.progress.entry(call.index).or_default().approved = true);
        hide_request_if_wanted(calling).await;
    }
    match callee {
        Callee::Handoff(handoff) => {
            let mut done = calling.done(json!({"agent": handoff.agent}), MadeBy::Task);
            done.hands_over_to = Some(handoff.agent.clone());
            Ok(finished(done))
        }
        Callee::Agent(agent) => Ok(ask_agent(calling, agent).await),
        Callee::Tool(tool) => run_tool(calling, tool).await,
    }
}

/// Hooks hear of the call before it runs, and may hide the message that asks for it.
async fn hide_request_if_wanted(calling: &Calling<'_>) {
    let Calling { ctx, id, call, .. } = *calling;
    let about = || {
        let arguments = task(ctx, |task| task.transcript.arguments(id, call.index)).unwrap_or_default();
        json!({"tool": call.name, "tool_call_id": call.call_id, "arguments": arguments})
    };
    if hooks::tell(ctx, HookEvent::ToolStarted, about).await.suppress {
        let now = now(ctx);
        task(ctx, |task| {
            let message_id = crate::project::output_message_id(&task.start.task_id, id.turn, id.step, call.index);
            task.emit(id.turn, now, EventKind::MessageReset { message_id });
        });
    }
}

/// Waits for a person to agree; `None` when the call may run.
async fn approve(calling: &Calling<'_>, policy: &ApprovalPolicy) -> Result<Option<CallEnd>, WorkflowTermination> {
    let Calling {
        ctx, id, call, token, ..
    } = *calling;
    let arguments = task(ctx, |task| task.transcript.arguments(id, call.index)).unwrap_or_default();
    let question = Question {
        kind: ApprovalKind::ToolCall,
        round: 0,
        prompt: String::new(),
        form: Value::Null,
        arguments,
        timeout: policy.timeout.as_std(),
        on_timeout: policy.on_timeout,
    };
    Ok(match people::ask(ctx, id, call, question, token).await? {
        Asked::Suspended => Some(CallEnd::Suspended),
        Asked::Stopped => Some(calling.refused("this call was not run: the turn was stopped".to_owned())),
        Asked::Decided(decided, on_timeout) => match (decided.decision, on_timeout) {
            (Decision::Approved, _) | (Decision::Expired, OnTimeout::Proceed) => None,
            (Decision::Expired, OnTimeout::Fail) => Some(calling.expired()),
            (Decision::Expired, OnTimeout::Reject) => {
                Some(calling.refused("this call was not run: nobody approved it in time".to_owned()))
            }
            (Decision::Rejected | Decision::Withdrawn, _) => Some(calling.refused(rejection(&decided))),
        },
    })
}

fn rejection(decided: &Decided) -> String {
    let by = if decided.by.is_empty() {
        "a person".to_owned()
    } else {
        decided.by.clone()
    };
    let because = if decided.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", decided.reason)
    };
    format!("this call was not run: {by} rejected it{because}")
}

async fn run_tool(calling: &Calling<'_>, tool: &RevisionTool) -> Result<CallEnd, WorkflowTermination> {
    let Some(kind) = tool.spec.kind() else {
        return Ok(calling.refused(format!("the tool {:?} has no kind", tool.name)));
    };
    match kind {
        ToolKind::Activity(activity) => Ok(call_activity(calling, activity, &tool.spec).await),
        ToolKind::Http(_) => Ok(call_http(calling, &tool.spec).await),
        ToolKind::Steps(list) => Ok(steps::run(calling, &tool.spec, list).await),
        ToolKind::Human(human) => ask_person(calling, human, &tool.spec).await,
        ToolKind::Workflow(workflow) => Ok(call_workflow(calling, workflow, &tool.spec).await),
        ToolKind::Mcp(_) => call_mcp(calling, &tool.spec).await,
        ToolKind::Hosted(_) => Ok(calling.refused(format!(
            "{:?} is run by the model's provider and cannot be called as a function",
            calling.call.name
        ))),
    }
}

async fn call_activity(calling: &Calling<'_>, tool: &ActivityTool, spec: &AgentToolSpec) -> CallEnd {
    let Calling {
        ctx,
        id,
        call,
        revision,
        ..
    } = *calling;
    let queue = tool
        .task_queue
        .clone()
        .or_else(|| task(ctx, |task| task.acting_queue()));
    let options = options::tool_call(ToolCallOptions {
        task_queue: queue,
        heartbeat: tool.heartbeat_timeout.map(Into::into),
        ..calling.options(spec)
    });
    let arguments = match foreign_arguments(ctx, id, call, tool, spec) {
        Ok(arguments) => arguments,
        Err(reason) => return calling.refused(reason),
    };
    let running = scoped(ctx, id, Some((call, "")), || {
        ctx.execute_activity(UntypedActivity::new(&tool.name), RawValue::new(arguments), options)
    });
    match running.await {
        Ok(result) => {
            let content = bounded_result(Some(&revision.spec), &call.name, foreign_result(&result.payloads));
            finished(calling.done(content, MadeBy::ForeignActivity))
        }
        Err(error) => calling.failed(spec, failure::describe(&error)),
    }
}

async fn call_http(calling: &Calling<'_>, spec: &AgentToolSpec) -> CallEnd {
    let Calling {
        ctx,
        id,
        call,
        revision,
        ..
    } = *calling;
    let options = options::tool_call(ToolCallOptions {
        task_queue: task(ctx, |task| task.acting_queue()),
        ..calling.options(spec)
    });
    let input = HttpToolCall {
        turn: id.turn,
        step: id.step,
        index: call.index,
        tool: call.name.clone(),
        revision: revision.name.clone(),
        seen: task(ctx, |task| task.log_seen.clone()),
    };
    let running = scoped(ctx, id, Some((call, "")), || {
        ctx.execute_activity(CallHttpTool, Packed(input), options)
    });
    match running.await {
        Ok(Packed(outcome)) => {
            task(ctx, |task| task.note_log(&outcome.log));
            let content = bounded_result(Some(&revision.spec), &call.name, outcome.content);
            let mut done = calling.done(content, shown_by(outcome.log.behind));
            done.output.is_error = outcome.is_error;
            finished(done)
        }
        Err(error) => calling.failed(spec, failure::describe(&error)),
    }
}

/// What an activity of ours could not show waits in the outbox.
fn shown_by(behind: bool) -> MadeBy {
    if behind {
        MadeBy::ForeignActivity
    } else {
        MadeBy::OurActivity
    }
}

async fn call_mcp(calling: &Calling<'_>, spec: &AgentToolSpec) -> Result<CallEnd, WorkflowTermination> {
    let Calling { ctx, call, .. } = *calling;
    let mut answered = None;
    loop {
        let progress = task(ctx, |task| task.progress.get(&call.index).cloned().unwrap_or_default());
        let Some(target) = progress.mcp else {
            return Ok(calling.refused(format!("{:?} was not among the tools of its server", call.name)));
        };
        if let (Some(request), None) = (&progress.asked, &answered) {
            match ask_for_more(calling, request, progress.rounds, spec).await? {
                Ok(answer) => answered = Some(answer),
                Err(end) => return Ok(end),
            }
        }
        let outcome = match call_mcp_once(calling, spec, target, progress.rounds, answered.take()).await {
            Ok(outcome) => outcome,
            Err(described) => return Ok(calling.failed(spec, described)),
        };
        let Some(request) = outcome.input_required else {
            let content = bounded(
                outcome.content,
                usize::try_from(spec.max_result_bytes).unwrap_or(usize::MAX),
            );
            let mut done = calling.done(content, shown_by(outcome.log.behind));
            done.output.is_error = outcome.is_error;
            return Ok(finished(done));
        };
        if progress.rounds == MOST_ROUNDS {
            return Ok(calling.refused(format!("the tool asked for more than {MOST_ROUNDS} times in one call")));
        }
        task(ctx, |task| {
            let progress = task.progress.entry(call.index).or_default();
            progress.rounds += 1;
            progress.asked = Some(request);
        });
    }
}

async fn call_mcp_once(
    calling: &Calling<'_>,
    spec: &AgentToolSpec,
    target: McpTarget,
    round: u32,
    answered: Option<McpAnswer>,
) -> Result<crate::activities::McpToolOutcome, (String, String)> {
    let Calling {
        ctx,
        id,
        call,
        revision,
        ..
    } = *calling;
    let mut options = ToolCallOptions {
        task_queue: task(ctx, |task| task.acting_queue()),
        ..calling.options(spec)
    };
    if round > 0 {
        options.id = format!("{}~{round}", options.id);
    }
    let input = McpToolCall {
        turn: id.turn,
        step: id.step,
        index: call.index,
        target,
        revision: revision.name.clone(),
        answered,
        seen: task(ctx, |task| task.log_seen.clone()),
    };
    let running = scoped(ctx, id, Some((call, "")), || {
        ctx.execute_activity(CallMcpTool, Packed(input), options::tool_call(options))
    });
    let Packed(outcome) = running.await.map_err(|error| failure::describe(&error))?;
    task(ctx, |task| task.note_log(&outcome.log));
    Ok(outcome)
}

/// A person answers what the tool asks for; no answer is an answer too.
async fn ask_for_more(
    calling: &Calling<'_>,
    request: &McpInputRequest,
    round: u32,
    spec: &AgentToolSpec,
) -> Result<Result<McpAnswer, CallEnd>, WorkflowTermination> {
    let policy = spec.approval.clone().unwrap_or_default();
    let question = Question {
        kind: ApprovalKind::Elicitation,
        round,
        prompt: request.prompt.clone(),
        form: request.form.clone(),
        arguments: Value::Null,
        timeout: policy.timeout.as_std(),
        on_timeout: policy.on_timeout,
    };
    let asked = people::ask(calling.ctx, calling.id, calling.call, question, calling.token).await?;
    let decided = match asked {
        Asked::Suspended => return Ok(Err(CallEnd::Suspended)),
        Asked::Stopped => {
            let reason = "this call was not finished: the turn was stopped".to_owned();
            return Ok(Err(calling.refused(reason)));
        }
        Asked::Decided(decided, OnTimeout::Fail) if decided.decision == Decision::Expired => {
            return Ok(Err(calling.expired()));
        }
        Asked::Decided(decided, _) => decided,
    };
    task(calling.ctx, |task| {
        task.progress.entry(calling.call.index).or_default().asked = None;
    });
    let action = match decided.decision {
        Decision::Approved => "accept",
        Decision::Rejected => "decline",
        Decision::Expired | Decision::Withdrawn => "cancel",
    };
    Ok(Ok(McpAnswer {
        request: request.clone(),
        action: action.to_owned(),
        content: decided.answer,
    }))
}

async fn ask_person(
    calling: &Calling<'_>,
    human: &HumanTool,
    spec: &AgentToolSpec,
) -> Result<CallEnd, WorkflowTermination> {
    let Calling {
        ctx, id, call, token, ..
    } = *calling;
    let arguments = task(ctx, |task| task.transcript.arguments(id, call.index)).unwrap_or_default();
    let prompt = if human.prompt.is_empty() {
        &spec.description
    } else {
        &human.prompt
    };
    let form = if human.form.is_empty() {
        Value::Null
    } else {
        Value::Object(human.form.clone())
    };
    let question = Question {
        kind: ApprovalKind::Question,
        round: 0,
        prompt: prompt.clone(),
        form,
        arguments,
        timeout: human.timeout.as_std(),
        on_timeout: human.on_timeout,
    };
    Ok(match people::ask(ctx, id, call, question, token).await? {
        Asked::Suspended => CallEnd::Suspended,
        Asked::Stopped => calling.refused("nobody answered: the turn was stopped".to_owned()),
        Asked::Decided(decided, on_timeout) => match (decided.decision, on_timeout) {
            (Decision::Expired, OnTimeout::Fail) => calling.expired(),
            (decision, _) => {
                let mut said = json!({"decision": decision});
                for (field, text) in [("by", &decided.by), ("reason", &decided.reason)] {
                    if !text.is_empty() {
                        said[field] = Value::String(text.clone());
                    }
                }
                if !decided.answer.is_null() {
                    said["answer"] = decided.answer;
                }
                finished(calling.done(said, MadeBy::Task))
            }
        },
    })
}

async fn call_workflow(calling: &Calling<'_>, workflow: &WorkflowTool, spec: &AgentToolSpec) -> CallEnd {
    let Calling {
        ctx,
        id,
        call,
        revision,
        token,
    } = *calling;
    let arguments = match task(ctx, |task| task.transcript.arguments(id, call.index)) {
        Ok(arguments) => arguments,
        Err(reason) => return calling.refused(reason),
    };
    let place = calling.place();
    let ran = children::run_workflow(
        ctx,
        &workflow.workflow_type,
        &workflow.task_queue,
        &place,
        &arguments,
        spec.timeout.as_std(),
        token,
    );
    match ran.await {
        Ok(content) => {
            let content = bounded_result(Some(&revision.spec), &call.name, content);
            finished(calling.done(content, MadeBy::Task))
        }
        Err(ChildFailure { category, message }) => calling.failed(spec, (category, message)),
    }
}

async fn ask_agent(calling: &Calling<'_>, agent: &RevisionAgent) -> CallEnd {
    let Calling {
        ctx, id, call, token, ..
    } = *calling;
    let question = task(ctx, |task| task.transcript.arguments(id, call.index))
        .ok()
        .and_then(|arguments| arguments.get("input").and_then(Value::as_str).map(str::to_owned));
    let Some(question) = question else {
        return calling.refused("the argument \"input\" must be a text".to_owned());
    };
    let asked = AskedAgent {
        agent: &agent.agent,
        task_queue: &agent.task_queue,
        place: calling.place(),
        timeout: None,
    };
    match children::ask_agent(ctx, asked, question, token).await {
        Ok(result) => {
            task(ctx, |task| task.count_usage(result.usage));
            finished(calling.done(Value::String(result.text), MadeBy::Task))
        }
        Err(ChildFailure { category, message }) => calling.refused(format!(
            "agent {:?} gave no answer ({category}): {message}",
            agent.agent
        )),
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
    let arguments = task(ctx, |task| task.transcript.arguments(id, call.index))?;
    match tool.argument_style {
        ArgumentStyle::Object => object_arguments(&arguments),
        ArgumentStyle::Positional => positional_arguments(&arguments, &spec.parameters),
    }
}

impl<'a> Calling<'a> {
    /// `<turn>.<step>.<index>`
    pub(super) fn place(&self) -> String {
        format!("{}.{}.{}", self.id.turn, self.id.step, self.call.index)
    }

    pub(super) fn options(&self, spec: &'a AgentToolSpec) -> ToolCallOptions<'a> {
        let id = tool_activity_id(self.id.turn, self.id.step, self.call.index);
        let agent = &self.revision.spec.agent;
        ToolCallOptions::of(id, agent, &self.call.name, spec, self.token.clone())
    }

    pub(super) fn done(&self, content: Value, made_by: MadeBy) -> FinishedCall {
        FinishedCall {
            output: ToolOutput {
                call_id: self.call.call_id.clone(),
                name: self.call.name.clone(),
                content,
                is_error: false,
            },
            made_by,
            fails_turn: None,
            hands_over_to: None,
            suppressed: false,
        }
    }

    /// The model is told why there is no result.
    pub(super) fn refused(&self, reason: String) -> CallEnd {
        let mut done = self.done(Value::String(reason), MadeBy::Task);
        done.output.is_error = true;
        finished(done)
    }

    fn expired(&self) -> CallEnd {
        let reason = "this call was not run: nobody decided in time";
        let mut done = self.done(Value::String(reason.to_owned()), MadeBy::Task);
        done.output.is_error = true;
        done.fails_turn = Some(TurnFailure {
            category: APPROVAL_EXPIRED.to_owned(),
            message: format!("nobody decided in time about the call of {:?}", self.call.name),
        });
        finished(done)
    }

    /// The last attempt has failed.
    fn failed(&self, spec: &AgentToolSpec, (category, message): (String, String)) -> CallEnd {
        let mut done = self.done(
            Value::String(format!("the tool failed ({category}): {message}")),
            MadeBy::Task,
        );
        done.output.is_error = true;
        if spec.on_error == OnError::FailTurn {
            done.fails_turn = Some(TurnFailure {
                category: "tool_failed".to_owned(),
                message: format!("tool {:?} failed ({category}): {message}", self.call.name),
            });
        }
        finished(done)
    }

    /// The activity that heard the answer says so of calls that start at once; this one has waited.
    fn tell_started(&self) {
        let now = now(self.ctx);
        let started = EventKind::ToolStarted {
            tool_call_id: self.call.call_id.clone(),
            name: self.call.name.clone(),
        };
        task(self.ctx, |task| {
            task.phase = Phase::CallingTools;
            task.emit(self.id.turn, now, started);
        });
    }
}

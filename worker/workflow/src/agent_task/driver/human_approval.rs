//! Waits for approvals: durable, any number at once, for days, with no worker running.

use std::time::Duration;

use futures::FutureExt as _;
use serde_json::Value;
use steadfast_agent_loop::{StepId, ToolCall};
use steadfast_contract::{
    approvals::{ApprovalPlace, too_large},
    queries::Phase,
    signals::Decide,
    visibility::{MEMO_APPROVALS, VisiblePhase},
};
use steadfast_crds::{agent_tool::OnTimeout, names::qualified_name};
use steadfast_events::{Approval, ApprovalKind, Decision, EventKind, Verdict};
use temporalio_workflow::{
    MemoValue, TimerOptions, WaitConditionOptions, WorkflowCancellationToken, WorkflowTermination, workflows::select,
};

use super::{Context, is_continue_as_new_due, now, protocol_error, read, update, visibility};
use crate::{activity_options, task::Task};

/// A question to a person.
pub(super) struct Question {
    pub kind: ApprovalKind,
    pub round: u32,
    pub prompt: String,
    pub form: Value,
    pub arguments: Value,
    pub timeout: Duration,
    pub on_timeout: OnTimeout,
}

/// The end of a question.
pub(super) enum Asked {
    Decided(Decision, OnTimeout),
    /// The run continues as new, and the next run goes on waiting.
    Suspended,
    /// The turn was stopped.
    Stopped,
    /// It is too large to be asked, or too many wait.
    Refused(String),
}

impl Task {
    /// Takes in the decision of a person.
    pub fn decide(&mut self, decide: Decide, now: jiff::Timestamp) {
        let id = decide.approval_id.clone();
        if let Some(decision) = self.state.approvals.decide(decide, now) {
            self.emit_decision(&id, decision, now);
        }
    }

    fn emit_decision(&mut self, id: &str, decision: Decision, now: jiff::Timestamp) {
        let turn = self.turn();
        let approval_id = id.to_owned();
        self.emit(turn, now, EventKind::ApprovalDecided { approval_id, decision });
    }

    fn record_approval(&mut self, id: &str, verdict: Verdict, now: jiff::Timestamp) {
        if let Some(decision) = self.state.approvals.record(id, Decision::new(verdict), now) {
            self.emit_decision(id, decision, now);
        }
    }
}

/// Asks a person, or goes on waiting for the answer to what was asked before.
pub(super) async fn ask(
    ctx: &Context,
    step: StepId,
    call: &ToolCall,
    question: Question,
    token: &WorkflowCancellationToken,
) -> Result<Asked, WorkflowTermination> {
    let place = ApprovalPlace {
        turn: step.turn,
        step: step.step,
        index: call.index,
        round: question.round,
    };
    let id = read(ctx, |task| {
        place.approval_id(&task.start.task_id, &task.start.first_run_id)
    });
    let on_timeout = question.on_timeout;
    if read(ctx, |task| task.state.approvals.get(&id).is_none()) {
        let now = now(ctx);
        if let Some(reason) = too_large(&question.prompt, &question.form, &question.arguments) {
            return Ok(Asked::Refused(reason));
        }
        let opened = update(ctx, |task| open(task, &id, step, call, question, now));
        if let Err(reason) = opened {
            return Ok(Asked::Refused(reason));
        }
        index_approvals(ctx)?;
    }
    read(ctx, Task::ask_person);
    let asked = wait(ctx, &id, token).await;
    read(ctx, Task::person_answered);
    match asked {
        Waited::Suspended => return Ok(Asked::Suspended),
        Waited::Decided => {}
        Waited::Expired => {
            let now = now(ctx);
            update(ctx, |task| task.record_approval(&id, Verdict::Expired, now));
        }
        Waited::Stopped => {
            let now = now(ctx);
            update(ctx, |task| task.record_approval(&id, Verdict::Withdrawn, now));
        }
    }
    let decision = update(ctx, |task| task.state.approvals.take_decision(&id));
    index_approvals(ctx)?;
    Ok(match decision {
        Some(decision) if decision.verdict != Verdict::Withdrawn => Asked::Decided(decision, on_timeout),
        _ => Asked::Stopped,
    })
}

fn open(
    task: &mut Task,
    id: &str,
    step: StepId,
    call: &ToolCall,
    question: Question,
    now: jiff::Timestamp,
) -> Result<(), String> {
    let approval = Approval {
        id: id.to_owned(),
        kind: question.kind,
        agent: qualified_name(task.foreign_namespace(), task.acting_agent()),
        turn: step.turn,
        tool: call.name.clone(),
        tool_call_id: call.call_id.clone(),
        arguments: question.arguments,
        arguments_truncated: false,
        requester: task.state.turn_sender.clone(),
        prompt: question.prompt,
        form: question.form,
        requested_at: now,
        expires_at: now.checked_add(question.timeout).ok(),
    };
    if !task.state.approvals.has_room_for(&approval) {
        return Err("too many large questions of this task wait for people already".to_owned());
    }
    let told = approval.clone();
    task.emit(step.turn, now, EventKind::ApprovalRequested { approval: told });
    task.state.approvals.open(approval, question.on_timeout);
    // The wait may last for days: the outbox must not wait for the next activity.
    task.local.piggyback_pending = false;
    Ok(())
}

enum Waited {
    Decided,
    Expired,
    Stopped,
    Suspended,
}

async fn wait(ctx: &Context, id: &str, token: &WorkflowCancellationToken) -> Waited {
    ctx.set_current_details(format!("waits for a person to decide {id}"));
    update(ctx, |task| task.local.phase = Phase::WaitingForPeople);
    let expires_at = read(ctx, |task| {
        task.state
            .approvals
            .get(id)
            .and_then(|waiting| waiting.approval.expires_at)
    });
    let awaited = id.to_owned();
    let decided = ctx.wait_condition_with_options(
        move |state| {
            state
                .task
                .as_ref()
                .is_some_and(|task| task.state.approvals.is_decided(&awaited) || is_continue_as_new_due(ctx, task))
        },
        WaitConditionOptions::builder()
            .cancellation_token(token.clone())
            .build(),
    );
    let outcome = match expires_at {
        None => decided.await.map_or(Waited::Stopped, |()| Waited::Decided),
        Some(expires_at) => {
            let remaining = Duration::try_from(now(ctx).duration_until(expires_at)).unwrap_or(Duration::ZERO);
            let timer_token = WorkflowCancellationToken::new();
            let timer = ctx.timer(
                TimerOptions::builder(remaining.max(activity_options::SHORTEST_TIMER))
                    .cancellation_token(timer_token.clone())
                    .summary(format!("approval {id} expires"))
                    .build(),
            );
            futures::pin_mut!(decided, timer);
            let mut decided = decided.fuse();
            let mut timer = timer.fuse();
            select! {
                decided = decided => {
                    timer_token.cancel();
                    decided.map_or(Waited::Stopped, |()| Waited::Decided)
                }
                _ = timer => Waited::Expired,
            }
        }
    };
    match outcome {
        // The wait ended to continue as new; there is no decision yet.
        Waited::Decided if !read(ctx, |task| task.state.approvals.is_decided(id)) => Waited::Suspended,
        outcome => outcome,
    }
}

/// Writes the waiting approvals to the memo and the search attributes, where one visibility query finds them.
fn index_approvals(ctx: &Context) -> Result<(), WorkflowTermination> {
    visibility::show(ctx, VisiblePhase::Running);
    let memo = read(ctx, |task| task.state.approvals.memo());
    upsert_memo(ctx, [(MEMO_APPROVALS, memo)])
}

/// Changes the task's memo.
pub(super) fn upsert_memo<T: serde::Serialize + Send + Sync + 'static, const N: usize>(
    ctx: &Context,
    fields: [(&str, T); N],
) -> Result<(), WorkflowTermination> {
    let fields = fields.map(|(name, value)| (name, Some(MemoValue::new(value))));
    ctx.upsert_memo(fields)
        .or_else(|error| protocol_error(&format!("write the memo: {error}")))
}

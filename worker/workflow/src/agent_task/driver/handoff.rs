//! Agents that begin their part of a turn, end it, and hand it off to another agent.

use serde_json::json;
use steadfast_agent_loop::{Body, Failure, Input, Segment, StepId};
use steadfast_contract::state::ActiveAgent;
use steadfast_crds::{
    agent::{HandoffInput, HookEvent},
    agent_revision::RevisionHandoff,
};
use steadfast_events::EventKind;
use temporalio_workflow::WorkflowTermination;

use super::{Context, hooks, load_revision, now, protocol_error, read, record, stopped, turn_scope, update};

/// An agent begins its part of the turn.
pub(super) async fn agent_started(ctx: &Context, agent: &str) {
    let now = now(ctx);
    let shown = update(ctx, |task| {
        let name = agent.to_owned();
        let turn = task.turn();
        task.emit(turn, now, EventKind::AgentStarted { name });
        task.state
            .revision
            .as_ref()
            .is_some_and(|revision| revision.spec.stream.agents)
    });
    let effects = hooks::tell(ctx, HookEvent::AgentStarted, || json!({"agent": agent})).await;
    if shown && !effects.suppress {
        update(ctx, |task| {
            let turn = task.turn();
            task.send_text(turn, now, format!("{agent} takes up the turn."));
        });
    }
}

/// An agent ends its part of the turn.
pub(super) async fn agent_ended(ctx: &Context, agent: &str) {
    hooks::tell(ctx, HookEvent::AgentEnded, || json!({"agent": agent})).await;
    let now = now(ctx);
    update(ctx, |task| {
        let name = agent.to_owned();
        let turn = task.turn();
        task.emit(turn, now, EventKind::AgentEnded { name });
    });
}

/// Hands the turn off to another agent: its revision, model and tools, on its own workers.
pub(super) async fn hand_off(ctx: &Context, id: StepId, to: &str) -> Result<(), WorkflowTermination> {
    let Some((token, revision)) = turn_scope(ctx) else {
        return protocol_error("a handoff outside of a turn");
    };
    let Some(handoff) = revision
        .spec
        .handoffs
        .iter()
        .find(|handoff| handoff.agent == to)
        .cloned()
    else {
        return protocol_error("a handoff to an agent that the revision does not name");
    };
    let from = read(ctx, |task| task.acting_agent().to_owned());
    let about = || json!({"from": from, "to": handoff.agent});
    let effects = hooks::tell(ctx, HookEvent::Handoff, about).await;
    agent_ended(ctx, &from).await;
    ctx.set_current_details(format!("turn {}: hands off to {to}", id.turn));
    let now = now(ctx);
    let before = update(ctx, |task| {
        if !effects.suppress && revision.spec.stream.handoffs {
            task.send_text(id.turn, now, format!("Handoff from {from} to {to}"));
        }
        let (from, to) = (from.clone(), to.to_owned());
        task.emit(id.turn, now, EventKind::Handoff { from, to });
        task.append_segment(segment(id, &handoff, now));
        // The other agent's workers may be away for long: the outbox must not wait for them.
        task.local.piggyback_pending = false;
        let namespace = handoff.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| task.acting_namespace().to_owned());
        let task_queue = task.queue_of(Some(&namespace), &handoff.agent, &handoff.task_queue);
        let before = (task.state.active_agent.take(), task.state.revision.take());
        // Back at the task's own agent, its own workers serve the turn.
        let is_home = namespace == task.start.namespace && handoff.agent == task.start.agent;
        task.state.active_agent = (!is_home).then(|| ActiveAgent {
            agent: handoff.agent.clone(),
            namespace: (namespace != task.start.namespace).then_some(namespace),
            task_queue,
        });
        before
    });
    if load_revision(ctx, &token).await {
        agent_started(ctx, to).await;
        return update(ctx, |task| record(task, Input::HandedOff));
    }
    let failure = if token.is_cancelled() {
        stopped(ctx)
    } else {
        Failure::Error {
            category: "handoff_failed".to_owned(),
            message: format!("agent {to:?} cannot be reached: its workers gave no revision"),
        }
    };
    update(ctx, |task| {
        // After a failed handoff the next turn belongs to the agent before it.
        (task.state.active_agent, task.state.revision) = before;
        record(task, Input::Failed(failure))
    })
}

fn segment(id: StepId, handoff: &RevisionHandoff, now: jiff::Timestamp) -> Segment {
    Segment {
        turn: id.turn,
        step: id.step,
        at: now,
        body: Body::Handoff {
            to: handoff.agent.clone(),
            messages_only: handoff.input == HandoffInput::MessagesOnly,
        },
    }
}

//! The context of one tool call, and its outcomes.

use serde_json::Value;
use steadfast_agent_loop::{ModelText, StepId, ToolCall, ToolOutput};
use steadfast_contract::{
    activities::Revision,
    activity_ids::{step_activity_id, tool_activity_id},
    queries::Phase,
    tool_calls::{FinishedCall, OutputSource, TurnFailure},
    tool_targets::{self, ForbiddenTarget},
};
use steadfast_crds::{
    agent_revision::RevisionTool,
    agent_tool::{AgentToolSpec, OnError},
};
use steadfast_events::EventKind;
use temporalio_workflow::WorkflowCancellationToken;

use crate::{
    activity_options::ToolCallOptions,
    agent_task::driver::{Context, now, own_queues, read, update},
};

/// Category of a turn whose approval expired.
const APPROVAL_EXPIRED: &str = "approval_expired";

/// The context of one tool call.
pub(super) struct ToolCallContext<'a> {
    pub ctx: &'a Context,
    pub id: StepId,
    pub call: &'a ToolCall,
    pub revision: &'a Revision,
    pub token: &'a WorkflowCancellationToken,
}

/// The outcome of a call.
pub(super) enum CallOutcome {
    Finished(Box<FinishedCall>),
    /// It waits for an approval, and the next run goes on with it.
    Suspended,
}

pub(super) fn finished(call: FinishedCall) -> CallOutcome {
    CallOutcome::Finished(Box::new(call))
}

impl<'a> ToolCallContext<'a> {
    /// `<turn>.<step>.<index>`
    pub(super) fn place(&self) -> String {
        format!("{}.{}.{}", self.id.turn, self.id.step, self.call.index)
    }

    pub(super) fn options(&self, spec: &'a AgentToolSpec) -> ToolCallOptions<'a> {
        let id = tool_activity_id(self.id.turn, self.id.step, self.call.index);
        let agent = &self.revision.spec.agent;
        ToolCallOptions::of(id, agent, &self.call.name, spec, self.token.clone())
    }

    pub(super) fn done(&self, content: Value, source: OutputSource) -> FinishedCall {
        FinishedCall {
            output: ToolOutput {
                call_id: self.call.call_id.clone(),
                name: self.call.name.clone(),
                kind: self.call.kind,
                content,
                is_error: false,
                text: ModelText::default(),
            },
            source,
            fails_turn: None,
            handoff_to: None,
            suppressed: false,
            interval: None,
        }
    }

    /// Whether the tool may start what it names. The operator has checked it before.
    pub(super) fn check_target(&self, tool: &RevisionTool) -> Result<(), ForbiddenTarget> {
        match (own_queues(self.ctx), &tool.from) {
            (Some(queues), None) => queues.check_tool(&tool.spec),
            // The author of the tool has the queues of the tool's namespace, and no others.
            (Some(queues), Some(from)) => queues.of_namespace(&from.namespace).check_tool(&tool.spec),
            (None, _) => tool_targets::check_types(&tool.spec),
        }
    }

    /// Offers the result of a step to the activities of this process.
    pub(super) fn keep_step(&self, name: &str, result: &Value) {
        let activity_id = step_activity_id(self.id.turn, self.id.step, self.call.index, name);
        read(self.ctx, |task| task.offer_step(&activity_id, result));
    }

    /// The model is told why there is no result.
    pub(super) fn refused(&self, reason: String) -> CallOutcome {
        let mut done = self.done(Value::String(reason), OutputSource::Task);
        done.output.is_error = true;
        finished(done)
    }

    pub(super) fn expired(&self) -> CallOutcome {
        let reason = "this call was not run: nobody decided in time";
        let mut done = self.done(Value::String(reason.to_owned()), OutputSource::Task);
        done.output.is_error = true;
        done.fails_turn = Some(TurnFailure {
            category: APPROVAL_EXPIRED.to_owned(),
            message: format!("nobody decided in time about the call of {:?}", self.call.name),
        });
        finished(done)
    }

    /// The last attempt has failed.
    pub(super) fn failed(&self, spec: &AgentToolSpec, (category, message): (String, String)) -> CallOutcome {
        let mut done = self.done(
            Value::String(format!("the tool failed ({category}): {message}")),
            OutputSource::Task,
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

    /// Emits `tool_started`. For calls that start at once the model activity has done so; this one has waited for its approval.
    pub(super) fn tell_started(&self) {
        let now = now(self.ctx);
        let started = EventKind::ToolStarted {
            tool_call_id: self.call.call_id.clone(),
            name: self.call.name.clone(),
        };
        update(self.ctx, |task| {
            task.local.phase = Phase::CallingTools;
            task.emit(self.id.turn, now, started);
        });
    }
}

//! Tools of kind `human`: a question to a person.

use serde_json::{Value, json};
use steadfast_contract::tool_calls::OutputSource;
use steadfast_crds::agent_tool::{AgentToolSpec, HumanTool, OnTimeout};
use steadfast_events::{ApprovalKind, Verdict};
use temporalio_workflow::WorkflowTermination;

use super::context::{CallOutcome, ToolCallContext, finished};
use crate::{
    agent_task::driver::human_approval::{self, Asked, Question},
    agent_task::driver::read,
};

pub(super) async fn ask_person(
    tool_call: &ToolCallContext<'_>,
    human: &HumanTool,
    spec: &AgentToolSpec,
) -> Result<CallOutcome, WorkflowTermination> {
    let ToolCallContext {
        ctx, id, call, token, ..
    } = *tool_call;
    let arguments = read(ctx, |task| task.state.transcript.arguments(id, call.index)).unwrap_or_default();
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
    Ok(match human_approval::ask(ctx, id, call, question, token).await? {
        Asked::Suspended => CallOutcome::Suspended,
        Asked::Refused(reason) => tool_call.refused(format!("nobody was asked: {reason}")),
        Asked::Stopped => tool_call.refused("nobody answered: the turn was stopped".to_owned()),
        Asked::Decided(decided, on_timeout) => match (decided.verdict, on_timeout) {
            (Verdict::Expired, OnTimeout::Fail) => tool_call.expired(),
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
                finished(tool_call.done(said, OutputSource::Task))
            }
        },
    })
}

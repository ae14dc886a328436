//! Builds the status of an AgentTool. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use steadfast_contract::tool_targets::NamespaceQueues;
use steadfast_crds::{
    AgentTool, AgentToolStatus,
    conditions::{ConditionType, Reason},
};

use crate::{
    conditions::{ConditionUpdate, STALLED_MESSAGE, merge},
    tools::validate,
};

/// The status of a tool.
pub(crate) fn build(tool: &AgentTool, install_id: &str, now: Timestamp) -> AgentToolStatus {
    let namespace = tool.namespace().unwrap_or_default();
    let queues = NamespaceQueues::new(install_id, &namespace);
    let conditions = match validate::check(&tool.spec, &queues) {
        Ok(()) => vec![
            ConditionUpdate::met(ConditionType::Accepted, Reason::Valid, "the spec is valid"),
            ConditionUpdate::met(
                ConditionType::Ready,
                Reason::AllConditionsMet,
                "agents can use the tool",
            ),
        ],
        Err(error) => vec![
            ConditionUpdate::not_met(ConditionType::Accepted, error.reason, error.message.clone()),
            ConditionUpdate::not_met(ConditionType::Ready, error.reason, error.message),
            ConditionUpdate::met(ConditionType::Stalled, error.reason, STALLED_MESSAGE),
        ],
    };
    let previous = tool
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    AgentToolStatus {
        observed_generation: tool.metadata.generation,
        kind: tool.spec.kind().map(|kind| kind.as_str().to_owned()),
        conditions: merge(previous, conditions, tool.metadata.generation, now),
    }
}

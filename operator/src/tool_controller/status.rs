//! What an AgentTool's status says. Pure.

use k8s_openapi::jiff::Timestamp;
use steadfast_crds::{
    AgentTool, AgentToolStatus,
    conditions::{ConditionType, Reason},
};

use crate::{
    conditions::{Finding, merge},
    tool_rules,
};

/// The status of a tool as it stands.
#[must_use]
pub fn build(tool: &AgentTool, now: Timestamp) -> AgentToolStatus {
    let findings = match tool_rules::check(&tool.spec) {
        Ok(()) => vec![
            Finding::holds(ConditionType::Accepted, Reason::Valid, "the spec is valid"),
            Finding::holds(
                ConditionType::Ready,
                Reason::AllConditionsMet,
                "agents can use the tool",
            ),
        ],
        Err(defect) => vec![
            Finding::fails(ConditionType::Accepted, defect.reason, defect.message.clone()),
            Finding::fails(ConditionType::Ready, defect.reason, defect.message),
            Finding::holds(
                ConditionType::Stalled,
                defect.reason,
                "somebody has to act; see condition Ready",
            ),
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
        conditions: merge(previous, findings, tool.metadata.generation, now),
    }
}

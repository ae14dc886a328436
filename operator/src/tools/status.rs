//! Builds the status of an AgentTool. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use steadfast_contract::tool_targets::NamespaceQueues;
use steadfast_crds::{
    AgentTool, AgentToolStatus,
    conditions::{ConditionType, Reason},
};

use crate::{
    conditions::{ConditionUpdate, STALLED_MESSAGE, find, merge},
    tools::{
        offers::{self, SeenOffer},
        validate,
    },
};

/// The status of a tool, with what its MCP server offered if a worker has said it.
pub(crate) fn build(tool: &AgentTool, install_id: &str, offer: Option<&SeenOffer>, now: Timestamp) -> AgentToolStatus {
    let namespace = tool.namespace().unwrap_or_default();
    let queues = NamespaceQueues::new(install_id, &namespace);
    let mut updates = match validate::check(&tool.spec, &queues) {
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
    let previous = tool.status.clone().unwrap_or_default();
    let mut mcp = None;
    let mut kept = None;
    if tool.spec.mcp.is_some() {
        if let Some(offer) = offer {
            let (condition, status) = offers::assess(tool, offer);
            updates.push(condition);
            mcp = Some(status);
        } else {
            // After a restart of the operator, and while no worker runs: what was known stays.
            mcp = previous.mcp;
            kept = find(&previous.conditions, ConditionType::ToolsOffered).cloned();
        }
    }
    let mut conditions = merge(&previous.conditions, updates, tool.metadata.generation, now);
    conditions.extend(kept);
    AgentToolStatus {
        observed_generation: tool.metadata.generation,
        kind: tool.spec.kind().map(|kind| kind.as_str().to_owned()),
        conditions,
        mcp,
    }
}

//! Which tool, agent or handoff a call is for, and whether a person must agree to it first. The
//! workflow and the activities use the same rules.

use std::borrow::Cow;

use steadfast_crds::{
    AgentRevisionSpec,
    agent_revision::{RevisionAgent, RevisionHandoff, RevisionTool},
    agent_tool::ApprovalPolicy,
};

use crate::mcp::McpTarget;

/// The target of a call, by the name that the model used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Callee<'a> {
    /// A tool.
    Tool(&'a RevisionTool),
    /// An agent as a tool.
    Agent(&'a RevisionAgent),
    /// A handoff.
    Handoff(&'a RevisionHandoff),
}

/// Finds what the model called; for a tool of an MCP server, the server's AgentTool.
pub fn callee<'a>(revision: &'a AgentRevisionSpec, name: &str, mcp: Option<&McpTarget>) -> Option<Callee<'a>> {
    let tool_name = mcp.map_or(name, |target| &target.server);
    if let Some(tool) = revision.tools.iter().find(|tool| tool.name == tool_name) {
        return Some(Callee::Tool(tool));
    }
    if let Some(agent) = revision.agents.iter().find(|agent| agent.name == name) {
        return Some(Callee::Agent(agent));
    }
    revision
        .handoffs
        .iter()
        .find(|handoff| handoff.name == name)
        .map(Callee::Handoff)
}

/// The approval policy of a call; `None` when the call needs no approval.
pub fn required_approval<'a>(callee: Callee<'a>, mcp: Option<&McpTarget>) -> Option<Cow<'a, ApprovalPolicy>> {
    let policy = match callee {
        Callee::Tool(tool) => {
            let selected = mcp.zip(tool.spec.mcp.as_ref()).and_then(|(target, server)| {
                let selection = server.tools.iter().find(|selection| selection.name == target.tool)?;
                selection.approval.as_ref()
            });
            match (&tool.spec.approval, selected) {
                (Some(of_tool), Some(of_selection)) => Cow::Owned(of_tool.tightened_by(of_selection)),
                (Some(policy), None) | (None, Some(policy)) => Cow::Borrowed(policy),
                (None, None) => return None,
            }
        }
        Callee::Agent(agent) => Cow::Borrowed(agent.approval.as_ref()?),
        Callee::Handoff(_) => return None,
    };
    policy.required.then_some(policy)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision() -> AgentRevisionSpec {
        serde_json::from_value(json!({
            "agent": "a", "sequence": 1, "model": {"name": "m"}, "taskQueue": "q",
            "tools": [
                {"name": "internal_audit", "spec": {"description": "d", "activity": {"name": "x", "taskQueue": "q"}}},
                {"name": "files", "spec": {
                    "description": "d", "approval": {"required": true, "timeout": "1h"},
                    "mcp": {"url": "https://m.test", "tools": [
                        {"name": "read"}, {"name": "write", "approval": {"required": true, "timeout": "5m"}},
                    ]},
                }},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_tool_of_a_server_may_ask_for_more_than_its_server() {
        let revision = revision();
        let target = |tool: &str| McpTarget {
            server: "files".into(),
            tool: tool.into(),
        };
        let timeout = |tool: &str| {
            let target = target(tool);
            let found = callee(&revision, tool, Some(&target)).unwrap();
            required_approval(found, Some(&target)).unwrap().timeout.whole_seconds()
        };
        assert_eq!((timeout("read"), timeout("write")), (3_600, 300));
        assert_eq!(
            required_approval(callee(&revision, "internal_audit", None).unwrap(), None),
            None
        );
    }
}

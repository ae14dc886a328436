//! Whether people see a message, by the `stream` settings of a revision.

use steadfast_crds::AgentRevisionSpec;
use steadfast_events::Content;

/// Whether people see a message of this content.
pub fn is_shown(revision: &AgentRevisionSpec, content: &Content) -> bool {
    let stream = &revision.stream;
    let is_handoff = |name: &str| revision.handoffs.iter().any(|handoff| handoff.name == name);
    match content {
        Content::ToolRequest { name, .. } => stream.tool_requests && !stream.hides_tool(name) && !is_handoff(name),
        Content::ToolResponse { name, .. } => stream.tool_responses && !stream.hides_tool(name) && !is_handoff(name),
        Content::Reasoning { .. } => stream.reasoning,
        Content::Text { .. } | Content::Data { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision() -> AgentRevisionSpec {
        serde_json::from_value(json!({
            "agent": "a", "sequence": 1, "model": {"name": "m"}, "taskQueue": "q",
            "handoffs": [{"name": "transfer_to_b", "agent": "b", "taskQueue": "r"}],
            "stream": {"hiddenTools": ["internal_*"], "reasoning": false},
        }))
        .unwrap()
    }

    fn request(name: &str) -> Content {
        Content::ToolRequest {
            tool_call_id: "c".into(),
            name: name.into(),
            arguments: json!({}),
        }
    }

    #[test]
    fn hidden_tools_handoff_calls_and_unwanted_reasoning_are_not_shown() {
        let revision = revision();
        assert!(!is_shown(&revision, &request("internal_audit")));
        assert!(!is_shown(&revision, &request("transfer_to_b")));
        assert!(is_shown(&revision, &request("read")));
        let thought = Content::Reasoning {
            summary: vec!["hm".into()],
            content: vec![],
        };
        assert!(!is_shown(&revision, &thought));
    }
}

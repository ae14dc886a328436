//! What happens besides the messages, in one line each. Pure.

use std::collections::BTreeMap;

use steadfast_events::{Decision, Event, EventKind, GuardrailStage};

/// What the lines need to remember.
#[derive(Debug, Default)]
pub struct Remarks {
    /// The turn has its first agent.
    has_agent: bool,
    /// The tools that were asked for, by approval id.
    tools: BTreeMap<String, String>,
}

impl Remarks {
    /// The line for an event; none for one that is no news, or shows as a message.
    pub fn of(&mut self, event: &Event) -> Option<String> {
        if event.path.is_empty() {
            return self.in_conversation(event);
        }
        // What an agent does for another: its steps, not its words.
        let text = match &event.kind {
            EventKind::ToolStarted { name, .. } => format!("calls {name}"),
            EventKind::ToolEnded { name, is_error, .. } => {
                format!("{name} {}", if *is_error { "failed" } else { "answered" })
            }
            EventKind::AgentStarted { .. } => "starts".to_owned(),
            EventKind::AgentEnded { .. } => "is done".to_owned(),
            _ => self.everywhere(event)?,
        };
        let depth = event.path.split('/').count();
        Some(format!("{}{}: {text}", "  ".repeat(depth), event.agent))
    }

    fn in_conversation(&mut self, event: &Event) -> Option<String> {
        match &event.kind {
            EventKind::TurnStarted {} => {
                self.has_agent = false;
                None
            }
            EventKind::AgentStarted { name } => {
                std::mem::replace(&mut self.has_agent, true).then(|| format!("now: {name}"))
            }
            _ => self.everywhere(event),
        }
    }

    fn everywhere(&mut self, event: &Event) -> Option<String> {
        match &event.kind {
            EventKind::Handoff { from, to } => Some(format!("{from} hands over to {to}")),
            EventKind::ApprovalRequested { approval } => {
                self.tools.insert(approval.id.clone(), approval.tool.clone());
                None
            }
            EventKind::ApprovalDecided {
                approval_id,
                decision,
                by,
                reason,
                ..
            } => {
                let tool = self.tools.remove(approval_id);
                let what = tool.as_deref().unwrap_or(approval_id);
                let decision = match decision {
                    Decision::Approved => "approved",
                    Decision::Rejected => "rejected",
                    Decision::Expired => "not decided in time",
                    Decision::Withdrawn => "no longer asked for",
                };
                let by = if by.is_empty() {
                    String::new()
                } else {
                    format!(" by {by}")
                };
                Some(format!("{what}: {decision}{by}{}", because(reason)))
            }
            EventKind::GuardrailTripped { name, stage, reason } => {
                let stage = match stage {
                    GuardrailStage::Input => "input",
                    GuardrailStage::Output => "output",
                };
                Some(format!("guardrail {name} stopped the {stage}{}", because(reason)))
            }
            EventKind::ContextCompacted { .. } => {
                Some("the model goes on from a summary of the conversation so far".to_owned())
            }
            EventKind::ToolsUnavailable { tool, reason } => {
                Some(format!("the tools of {tool} are not available{}", because(reason)))
            }
            _ => None,
        }
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;

    fn lines(events: &[Value]) -> Vec<String> {
        let mut remarks = Remarks::default();
        let read = |event: &Value| {
            let mut event = event.clone();
            event["time"] = json!("2026-11-23T00:00:00Z");
            serde_json::from_value::<Event>(event).unwrap()
        };
        events.iter().filter_map(|event| remarks.of(&read(event))).collect()
    }

    #[test]
    fn the_first_agent_of_a_turn_is_no_news() {
        let shown = lines(&[
            json!({"type": "turn_started"}),
            json!({"type": "agent_started", "name": "triage"}),
            json!({"type": "handoff", "from": "triage", "to": "spanish"}),
            json!({"type": "agent_started", "name": "spanish"}),
            json!({"type": "turn_started"}),
            json!({"type": "agent_started", "name": "spanish"}),
        ]);
        assert_eq!(shown, ["triage hands over to spanish", "now: spanish"]);
    }

    #[test]
    fn what_an_agent_does_for_another_is_indented_and_without_its_words() {
        let shown = lines(&[
            json!({"type": "agent_started", "name": "researcher", "agent": "researcher", "path": "1.0.0"}),
            json!({"type": "text_delta", "message_id": "m", "delta": "secret", "agent": "researcher", "path": "1.0.0"}),
            json!({"type": "tool_started", "tool_call_id": "c", "name": "search", "agent": "researcher", "path": "1.0.0"}),
            json!({"type": "tool_ended", "tool_call_id": "c", "name": "search", "is_error": true, "agent": "reader", "path": "1.0.0/1.1.0"}),
        ]);
        assert_eq!(
            shown,
            [
                "  researcher: starts",
                "  researcher: calls search",
                "    reader: search failed"
            ]
        );
    }

    #[test]
    fn a_decision_names_the_tool_and_the_person() {
        let asked = json!({
            "id": "t.1.0.0", "kind": "tool_call", "agent": "bank", "turn": 1, "tool": "pay", "tool_call_id": "c",
            "arguments": {}, "requested_at": "2026-11-23T00:00:00Z",
        });
        let decided = |decision: &str, by: &str, reason: &str| json!({"type": "approval_decided", "approval_id": "t.1.0.0", "decision": decision, "by": by, "reason": reason});
        let shown = lines(&[
            json!({"type": "approval_requested", "approval": asked}),
            decided("rejected", "alice", "too much"),
            decided("expired", "", ""),
        ]);
        assert_eq!(
            shown,
            ["pay: rejected by alice: too much", "t.1.0.0: not decided in time"]
        );
    }

    #[test]
    fn checks_and_losses_are_told() {
        let shown = lines(&[
            json!({"type": "guardrail_tripped", "name": "polite", "stage": "input", "reason": "rude"}),
            json!({"type": "context_compacted", "generation": 1}),
            json!({"type": "tools_unavailable", "tool": "files", "reason": "connection refused"}),
        ]);
        assert_eq!(
            shown,
            [
                "guardrail polite stopped the input: rude",
                "the model goes on from a summary of the conversation so far",
                "the tools of files are not available: connection refused",
            ]
        );
    }
}

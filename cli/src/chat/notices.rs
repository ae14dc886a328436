//! Describes events that are not messages, in one line each. Pure.

use std::collections::BTreeMap;

use steadfast_events::{Event, EventKind, GuardrailStage, Verdict};

#[derive(Debug, Default)]
pub(super) struct Notices {
    /// The first agent of the turn has started.
    has_agent: bool,
    /// Name of the tool of each pending approval, by approval id.
    tools: BTreeMap<String, String>,
}

impl Notices {
    /// The notice for an event. `None` for messages and for events that tell a person nothing new.
    pub(super) fn for_event(&mut self, event: &Event) -> Option<String> {
        if event.path.is_empty() {
            return self.for_conversation(event);
        }
        // The steps of a nested agent are shown, its messages are not.
        let text = match &event.kind {
            EventKind::ToolStarted { name, .. } => format!("calls {name}"),
            EventKind::ToolEnded { name, is_error, .. } => {
                format!("{name} {}", if *is_error { "failed" } else { "answered" })
            }
            EventKind::AgentStarted { .. } => "started".to_owned(),
            EventKind::AgentEnded { .. } => "finished".to_owned(),
            _ => self.for_any_agent(event)?,
        };
        let depth = event.path.split('/').count();
        Some(format!("{}{}: {text}", "  ".repeat(depth), event.agent))
    }

    fn for_conversation(&mut self, event: &Event) -> Option<String> {
        match &event.kind {
            EventKind::TurnStarted {} => {
                self.has_agent = false;
                None
            }
            EventKind::AgentStarted { name } => {
                std::mem::replace(&mut self.has_agent, true).then(|| format!("active agent: {name}"))
            }
            _ => self.for_any_agent(event),
        }
    }

    fn for_any_agent(&mut self, event: &Event) -> Option<String> {
        match &event.kind {
            EventKind::Handoff { from, to } => Some(format!("{from} hands off to {to}")),
            EventKind::ApprovalRequested { approval } => {
                self.tools.insert(approval.id.clone(), approval.tool.clone());
                None
            }
            EventKind::ApprovalDecided { approval_id, decision } => {
                let tool = self.tools.remove(approval_id);
                let subject = tool.as_deref().unwrap_or(approval_id);
                let verdict = match decision.verdict {
                    Verdict::Approved => "approved",
                    Verdict::Rejected => "rejected",
                    Verdict::Expired => "approval expired",
                    Verdict::Withdrawn => "approval withdrawn",
                };
                let by = if decision.by.is_empty() {
                    String::new()
                } else {
                    format!(" by {}", decision.by)
                };
                Some(format!("{subject}: {verdict}{by}{}", suffix(&decision.reason)))
            }
            EventKind::GuardrailTripped { name, stage, reason } => {
                let stage = match stage {
                    GuardrailStage::Input => "input",
                    GuardrailStage::Output => "output",
                };
                Some(format!("guardrail {name} stopped the {stage}{}", suffix(reason)))
            }
            EventKind::ContextCompacted { .. } => {
                Some("the context was compacted: the model continues from a summary of the conversation".to_owned())
            }
            EventKind::ModelAttemptFailed {
                reason, retry_in_ms, ..
            } => {
                let seconds = retry_in_ms.div_ceil(1_000);
                Some(format!(
                    "the model call failed and is tried again in {seconds} s{}",
                    suffix(reason)
                ))
            }
            EventKind::ToolsUnavailable { tool, reason } => {
                Some(format!("the tools of {tool} are not available{}", suffix(reason)))
            }
            _ => None,
        }
    }
}

fn suffix(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn notices(events: &[Value]) -> Vec<String> {
        let mut notices = Notices::default();
        let read = |event: &Value| {
            let mut event = event.clone();
            event["time"] = json!("2026-11-23T00:00:00Z");
            serde_json::from_value::<Event>(event).unwrap()
        };
        events
            .iter()
            .filter_map(|event| notices.for_event(&read(event)))
            .collect()
    }

    #[test]
    fn the_first_agent_of_a_turn_has_no_notice() {
        let shown = notices(&[
            json!({"type": "turn_started"}),
            json!({"type": "agent_started", "name": "triage"}),
            json!({"type": "handoff", "from": "triage", "to": "spanish"}),
            json!({"type": "agent_started", "name": "spanish"}),
            json!({"type": "turn_started"}),
            json!({"type": "agent_started", "name": "spanish"}),
        ]);
        assert_eq!(shown, ["triage hands off to spanish", "active agent: spanish"]);
    }

    #[test]
    fn the_steps_of_a_nested_agent_are_indented_and_its_messages_are_not_shown() {
        let shown = notices(&[
            json!({"type": "agent_started", "name": "researcher", "agent": "researcher", "path": "1.0.0"}),
            json!({"type": "text_delta", "message_id": "m", "delta": "secret", "agent": "researcher", "path": "1.0.0"}),
            json!({"type": "tool_started", "tool_call_id": "c", "name": "search", "agent": "researcher", "path": "1.0.0"}),
            json!({"type": "tool_ended", "tool_call_id": "c", "name": "search", "is_error": true, "agent": "reader", "path": "1.0.0/1.1.0"}),
        ]);
        assert_eq!(
            shown,
            [
                "  researcher: started",
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
        let decided = |decision: &str, by: &str, reason: &str| json!({"type": "approval_decided", "approval_id": "t.1.0.0", "verdict": decision, "by": by, "reason": reason});
        let shown = notices(&[
            json!({"type": "approval_requested", "approval": asked}),
            decided("rejected", "alice", "too much"),
            decided("expired", "", ""),
        ]);
        assert_eq!(shown, ["pay: rejected by alice: too much", "t.1.0.0: approval expired"]);
    }

    #[test]
    fn guardrails_compaction_missing_tools_and_retries_have_notices() {
        let shown = notices(&[
            json!({"type": "guardrail_tripped", "name": "polite", "stage": "input", "reason": "rude"}),
            json!({"type": "context_compacted", "generation": 1}),
            json!({"type": "tools_unavailable", "tool": "files", "reason": "connection refused"}),
            json!({"type": "model_attempt_failed", "step": 0, "category": "model_rate_limit", "reason": "slow down",
                "retry_in_ms": 6_500}),
        ]);
        assert_eq!(
            shown,
            [
                "guardrail polite stopped the input: rude",
                "the context was compacted: the model continues from a summary of the conversation",
                "the tools of files are not available: connection refused",
                "the model call failed and is tried again in 7 s: slow down",
            ]
        );
    }
}

//! Formats pending approvals as a table. Pure.

use jiff::Timestamp;

use crate::api::PendingApproval;
use crate::columns::{self, Width, one_line, span};

const HEADER: [&str; 6] = ["ID", "AGENT", "TOOL", "REQUESTED", "EXPIRES", "ARGUMENTS"];
/// Longer arguments are cut. `-o wide`, `steadfast chat` and the API show them whole.
const MAX_ARGUMENTS_CHARACTERS: usize = 60;

/// A header and one row per approval.
pub(super) fn table(approvals: &[PendingApproval], width: Width, now: Timestamp) -> String {
    if approvals.is_empty() {
        return "no approvals are pending\n".to_owned();
    }
    columns::render(HEADER, approvals.iter().map(|approval| row(approval, width, now)))
}

fn row(pending: &PendingApproval, width: Width, now: Timestamp) -> [String; 6] {
    let approval = &pending.approval;
    let expires = match approval.expires_at {
        None => "never".to_owned(),
        Some(at) if at <= now => "now".to_owned(),
        Some(at) => format!("in {}", span(now, at)),
    };
    [
        one_line(&approval.id),
        one_line(&pending.agent_name),
        one_line(&approval.tool),
        format!("{} ago", span(approval.requested_at, now)),
        expires,
        match (width, one_line(&approval.arguments.to_string())) {
            (Width::Narrow, arguments) => cut(&arguments),
            (Width::Wide, arguments) => arguments,
        },
    ]
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_ARGUMENTS_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_long_arguments_are_cut() {
        let pending = |id: &str, tool: &str, arguments: serde_json::Value, expires: Option<&str>| -> PendingApproval {
            serde_json::from_value(json!({
                "id": id, "kind": "tool_call", "agent": "bank", "turn": 1, "tool": tool, "tool_call_id": "c",
                "arguments": arguments, "requested_at": "2026-11-23T10:00:00Z", "expires_at": expires,
                "agent_name": "bank", "task_id": "t",
            }))
            .unwrap()
        };
        let approvals = [
            pending("t.1.0.0", "pay", json!({"to": "東京"}), Some("2026-11-24T10:00:00Z")),
            pending("t.1.0.1", "wire_money", json!("\u{1b}[2J".repeat(20)), None),
        ];
        let table = table(&approvals, Width::Narrow, "2026-11-23T10:05:00Z".parse().unwrap());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "ID       AGENT  TOOL        REQUESTED  EXPIRES  ARGUMENTS",
                "t.1.0.0  bank   pay         5m ago     in 23h   {\"to\":\"東京\"}",
            ]
        );
        assert!(lines[2].starts_with("t.1.0.1  bank   wire_money  5m ago     never    \""));
        assert!(lines[2].ends_with('…') && !table.contains('\u{1b}'));
        let wide = super::table(&approvals, Width::Wide, Timestamp::UNIX_EPOCH);
        assert!(!wide.contains('…'), "{wide}");
    }

    #[test]
    fn numbers_of_the_arguments_keep_their_digits() {
        let pending: PendingApproval = serde_json::from_str(
            r#"{"id": "t.1.0.0", "kind": "tool_call", "agent": "bank", "turn": 1, "tool": "pay", "tool_call_id": "c",
                "arguments": {"to": 100000000000000000001, "amount": 1.10}, "requested_at": "2026-11-23T10:00:00Z",
                "agent_name": "bank", "task_id": "t"}"#,
        )
        .unwrap();
        let table = table(&[pending], Width::Narrow, Timestamp::UNIX_EPOCH);
        assert!(
            table.contains(r#"{"to":100000000000000000001,"amount":1.10}"#),
            "{table}"
        );
    }

    #[test]
    fn an_empty_list_is_a_sentence() {
        assert_eq!(
            table(&[], Width::Narrow, Timestamp::UNIX_EPOCH),
            "no approvals are pending\n"
        );
    }
}

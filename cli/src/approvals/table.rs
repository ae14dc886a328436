//! Approvals as a table. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::gateway::Listed;
use crate::screen::visible;

const HEAD: [&str; 6] = ["ID", "AGENT", "TOOL", "ASKED", "EXPIRES", "ARGUMENTS"];
/// Longer arguments are cut: the table is for finding, `steadfast chat` and the API show all.
const MAX_ARGUMENTS_CHARACTERS: usize = 60;
const GAP: usize = 2;

/// One line per approval, below a head.
pub fn table(approvals: &[Listed], now: Timestamp) -> String {
    if approvals.is_empty() {
        return "nothing waits for a person\n".to_owned();
    }
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(approvals.iter().map(|approval| row(approval, now)));
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default() + GAP
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn row(approval: &Listed, now: Timestamp) -> [String; 6] {
    let asked = &approval.asked;
    let expires = match asked.expires_at {
        None => "never".to_owned(),
        Some(at) if at <= now => "now".to_owned(),
        Some(at) => format!("in {}", span(now, at)),
    };
    [
        one_line(&asked.id),
        one_line(&approval.agent_name),
        one_line(&asked.tool),
        format!("{} ago", span(asked.requested_at, now)),
        expires,
        cut(&one_line(&asked.arguments.to_string())),
    ]
}

/// The time between, in its largest unit.
fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = (to.as_second() - from.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_ARGUMENTS_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn approvals_stand_below_each_other() {
        let listed = |id: &str, tool: &str, arguments: serde_json::Value, expires: Option<&str>| -> Listed {
            serde_json::from_value(json!({
                "id": id, "kind": "tool_call", "agent": "bank", "turn": 1, "tool": tool, "tool_call_id": "c",
                "arguments": arguments, "requested_at": "2026-11-23T10:00:00Z", "expires_at": expires,
                "agent_name": "bank", "task_id": "t",
            }))
            .unwrap()
        };
        let approvals = [
            listed("t.1.0.0", "pay", json!({"amount": 1}), Some("2026-11-24T10:00:00Z")),
            listed("t.1.0.1", "wire_money", json!("\u{1b}[2J".repeat(20)), None),
        ];
        let shown = table(&approvals, "2026-11-23T10:05:00Z".parse().unwrap());
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "ID       AGENT  TOOL        ASKED   EXPIRES  ARGUMENTS",
                "t.1.0.0  bank   pay         5m ago  in 23h   {\"amount\":1}",
            ]
        );
        assert!(lines[2].starts_with("t.1.0.1  bank   wire_money  5m ago  never    \""));
        assert!(lines[2].ends_with('…') && !shown.contains('\u{1b}'));
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(table(&[], Timestamp::UNIX_EPOCH), "nothing waits for a person\n");
    }
}

//! Formats tasks for a terminal. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::api::Task;
use crate::columns::{self, Width, one_line, span};

const HEADER: [&str; 5] = ["ID", "AGENT", "NAME", "STATUS", "AGE"];
const WIDE_HEADER: [&str; 7] = ["ID", "AGENT", "NAME", "STATUS", "AGE", "UPDATED", "REASON"];

/// A header and one row per task.
pub(super) fn table(tasks: &[Task], width: Width, now: Timestamp) -> String {
    if tasks.is_empty() {
        return "no tasks\n".to_owned();
    }
    let narrow = tasks.iter().map(|task| {
        vec![
            one_line(&task.id),
            one_line(&agents(task)),
            one_line(task.name.as_deref().unwrap_or_default()),
            one_line(&task.status),
            span(task.created_at, now),
        ]
    });
    match width {
        Width::Narrow => columns::render(HEADER, narrow),
        Width::Wide => columns::render(
            WIDE_HEADER,
            narrow.zip(tasks).map(|(mut row, task)| {
                row.push(format!("{} ago", span(task.updated_at, now)));
                row.push(one_line(task.status_reason.as_deref().unwrap_or_default()));
                row
            }),
        ),
    }
}

/// One member per line.
pub(super) fn description(task: &Task) -> String {
    let mut lines = vec![
        ("Id", task.id.clone()),
        ("Agent", agents(task)),
        ("Name", task.name.clone().unwrap_or_default()),
        ("Status", task.status.clone()),
        ("Reason", task.status_reason.clone().unwrap_or_default()),
        ("Created", task.created_at.to_string()),
        ("Updated", task.updated_at.to_string()),
    ];
    if let Some(params) = task.other.get("params").filter(|params| !params.is_null()) {
        lines.push(("Params", params.to_string()));
    }
    let mut text = String::new();
    for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{:<9}{}", format!("{name}:"), one_line(&value));
    }
    text
}

fn agents(task: &Task) -> String {
    let agents = task.agents.iter().flatten();
    let names: Vec<&str> = agents.map(|agent| agent.name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(name: Option<&str>, agents: &[&str]) -> Task {
        let agents: Vec<_> = agents.iter().map(|name| json!({"name": name})).collect();
        serde_json::from_value(json!({
            "id": "t1", "name": name, "status": "RUNNING", "status_reason": null, "agents": agents,
            "created_at": "2026-11-23T10:00:00Z", "updated_at": "2026-11-23T10:05:00Z", "params": {"a": 1},
        }))
        .unwrap()
    }

    #[test]
    fn a_task_is_a_row() {
        let table = table(
            &[task(Some("report\u{1b}"), &["weather"])],
            Width::Narrow,
            "2026-11-23T12:00:00Z".parse().unwrap(),
        );
        assert_eq!(
            table,
            "ID  AGENT    NAME     STATUS   AGE\nt1  weather  report\u{fffd}  RUNNING  2h\n"
        );
    }

    #[test]
    fn a_wide_row_has_the_last_change_too() {
        let table = table(
            &[task(None, &["weather"])],
            Width::Wide,
            "2026-11-23T12:00:00Z".parse().unwrap(),
        );
        assert_eq!(
            table,
            "ID  AGENT    NAME  STATUS   AGE  UPDATED  REASON\nt1  weather        RUNNING  2h   1h ago\n"
        );
    }

    #[test]
    fn a_description_leaves_out_what_is_not_there() {
        assert_eq!(
            description(&task(None, &[])),
            "Id:      t1\nStatus:  RUNNING\nCreated: 2026-11-23T10:00:00Z\nUpdated: 2026-11-23T10:05:00Z\n\
             Params:  {\"a\":1}\n"
        );
    }
}

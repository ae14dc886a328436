//! Renders the instructions of one turn from the revision's template. Pure.

use serde_json::{Value, json};
use steadfast_contract::start::StartTask;

use crate::template::{RenderError, render};

/// Whether a text of instructions is more than text.
pub(crate) fn is_template(instructions: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|open| instructions.contains(open))
}

/// Renders the template with the variables `user`, `task`, `params` and `now`, the fixed time of the turn.
pub(crate) fn build_instructions(
    template: &str,
    start: &StartTask,
    now: jiff::Timestamp,
) -> Result<String, RenderError> {
    let params = if start.params.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        start.params.clone()
    };
    render(
        template,
        json!({
            "user": {"name": start.creator},
            "task": {"id": start.task_id, "agent": start.agent, "namespace": start.namespace, "params": params},
            "params": params,
            "now": now.to_string(),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_render_the_user_the_params_and_the_time_of_the_turn() {
        let mut start = StartTask::new("t-1", "default", "haiku");
        start.creator = "ada".to_owned();
        start.params = json!({"tone": "kind"});
        let now = jiff::Timestamp::UNIX_EPOCH;
        let text = build_instructions(
            "Be {{ task.params.tone }} to {{ user.name }} at {{ now }}.",
            &start,
            now,
        )
        .unwrap();
        assert_eq!(text, "Be kind to ada at 1970-01-01T00:00:00Z.");
    }
}

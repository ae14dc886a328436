//! The parts of a turn that people see. The settings change what is shown, never
//! what is done.
#![expect(clippy::struct_excessive_bools, reason = "each is an independent setting of the API")]

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

/// The parts of a turn that people see as messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamSettings {
    /// Whether tool calls are shown.
    #[serde(default = "shown")]
    pub tool_requests: bool,
    /// Whether results of tools are shown.
    #[serde(default = "shown")]
    pub tool_responses: bool,
    /// Whether a handoff to another agent is shown, as a text.
    #[serde(default = "shown")]
    pub handoffs: bool,
    /// Whether the model's summary of its reasoning is shown.
    #[serde(default = "shown")]
    pub reasoning: bool,
    /// Whether the start of an agent's work on a turn is shown, as a text.
    #[serde(default)]
    pub agents: bool,
    /// Whether data about each model call (model, tokens) is shown, for debugging.
    #[serde(default)]
    pub model_calls: bool,
    /// Names of tools whose calls and results are not shown; `*` matches any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub hidden_tools: Vec<String>,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            tool_requests: true,
            tool_responses: true,
            handoffs: true,
            reasoning: true,
            agents: false,
            model_calls: false,
            hidden_tools: Vec::new(),
        }
    }
}

impl StreamSettings {
    /// Whether `hiddenTools` matches a tool.
    #[must_use]
    pub fn hides_tool(&self, name: &str) -> bool {
        self.hidden_tools.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether a pattern matches a text; `*` matches any characters, also none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    true
}

const fn shown() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_characters() {
        for (pattern, text, expected) in [
            ("internal_*", "internal_audit", true),
            ("internal_*", "external", false),
            ("*_log", "write_log", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("audit", "audit", true),
            ("audit", "audits", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}

//! What people see of a turn. It changes what is shown, never what happens.
#![expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own that people write"
)]

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

/// What becomes a message that people see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamSettings {
    /// The model's tool calls.
    #[serde(default = "shown")]
    pub tool_requests: bool,
    /// The results of tools.
    #[serde(default = "shown")]
    pub tool_responses: bool,
    /// A text when another agent takes over.
    #[serde(default = "shown")]
    pub handoffs: bool,
    /// What the model lets us see of its reasoning.
    #[serde(default = "shown")]
    pub reasoning: bool,
    /// A text when an agent takes up a turn.
    #[serde(default)]
    pub agents: bool,
    /// Data about each model call: model, tokens; for debugging.
    #[serde(default)]
    pub model_calls: bool,
    /// Names of tools whose calls and results are not shown; `*` stands for any characters.
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
    /// Whether a tool is one of `hiddenTools`.
    #[must_use]
    pub fn hides_tool(&self, name: &str) -> bool {
        self.hidden_tools.iter().any(|pattern| matches(pattern, name))
    }
}

/// `*` stands for any characters, none included; everything else for itself.
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
    fn a_star_stands_for_any_characters() {
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

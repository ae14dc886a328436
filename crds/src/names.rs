//! Names that more than one program must derive alike: labels, annotations,
//! task queues, revisions and the tool names a model sees. Pure functions.

/// Label on everything the operator makes for an Agent; its value is the Agent's name.
pub const AGENT_LABEL: &str = "steadfast.dev/agent";
/// Well-known label that says who made an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "steadfast";
/// Label on a revision: its sequence number.
pub const SEQUENCE_LABEL: &str = "steadfast.dev/sequence";
/// Pod template annotation: keyed hash of the referenced Secrets' contents.
pub const CREDENTIALS_HASH_ANNOTATION: &str = "steadfast.dev/credentials-hash";
/// Longest Agent name; leaves room for every suffix in a 63 character label.
pub const MAXIMUM_AGENT_NAME_BYTES: usize = 40;

/// The Temporal task queue that serves one Agent.
#[must_use]
pub fn agent_task_queue(install: &str, namespace: &str, agent: &str) -> String {
    format!("{install}/{namespace}/agent/{agent}")
}

/// The name of revision number `sequence` of `agent`.
#[must_use]
pub fn revision_name(agent: &str, sequence: i64) -> String {
    format!("{agent}-{sequence}")
}

/// The name under which a model calls the tool `tool`: models accept letters,
/// digits, `_` and `-`; authors of prompts write `_`.
#[must_use]
pub fn function_name(tool: &str) -> String {
    tool.replace(['-', '.'], "_")
}

/// The name under which a model asks the agent `agent`, unless its author chose another.
#[must_use]
pub fn ask_function_name(agent: &str) -> String {
    format!("ask_{}", function_name(agent))
}

/// The name under which a model hands over to the agent `agent`.
#[must_use]
pub fn transfer_function_name(agent: &str) -> String {
    format!("transfer_to_{}", function_name(agent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_names_have_their_documented_form() {
        assert_eq!(
            agent_task_queue("prod", "team-a", "weather"),
            "prod/team-a/agent/weather"
        );
        assert_eq!(revision_name("weather", 12), "weather-12");
        assert_eq!(function_name("get-weather"), "get_weather");
        assert_eq!(ask_function_name("web-search"), "ask_web_search");
        assert_eq!(transfer_function_name("spanish-support"), "transfer_to_spanish_support");
    }
}

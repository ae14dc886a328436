//! Names that several programs derive: labels, annotations, task queues,
//! revisions, and the names of tools for the model. Pure functions.

/// Every label, annotation and finalizer of ours begins so.
pub const OWN_NAMES_PREFIX: &str = "steadfast.dev/";
/// Label on every object that the operator creates for an Agent; its value is the Agent's name.
pub const AGENT_LABEL: &str = "steadfast.dev/agent";
/// Label on every object that the operator creates for a WorkerPool, and on the revisions of the Agents that it serves;
/// its value is the pool's name.
pub const WORKER_POOL_LABEL: &str = "steadfast.dev/worker-pool";
/// Well-known label with the program that manages an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "steadfast";
/// Label on a revision with its sequence number.
pub const SEQUENCE_LABEL: &str = "steadfast.dev/sequence";
/// Label on the pods of workers with a version (`worker.rollout: Pinned`), and on the Deployment of an old version: the
/// build id, which is made of the image.
pub const BUILD_ID_LABEL: &str = "steadfast.dev/build-id";
/// Label on the Deployment of an old version and on its pods: the name of the Deployment that it was. These pods do not
/// have the label of their owner, by which that Deployment selects its own.
pub const OLD_VERSION_OF_LABEL: &str = "steadfast.dev/old-version-of";
/// Annotation on a pod template with the keyed hash of the secret values in the environment.
pub const CREDENTIALS_HASH_ANNOTATION: &str = "steadfast.dev/credentials-hash";
/// Annotation on an Agent whose workers the operator has scaled to zero: the time of a message for it, in RFC 3339. A new
/// value starts a worker.
pub const WAKE_ANNOTATION: &str = "steadfast.dev/wake";
/// Finalizer on an Agent that stays for its tasks when it is deleted (`spec.deletion`).
pub const TASKS_FINALIZER: &str = "steadfast.dev/tasks";

/// The longest name of an Agent; every name that is derived from it fits into 63 characters.
pub const MAXIMUM_AGENT_NAME_BYTES: usize = 40;
/// The longest name of a WorkerPool, for the same reason.
pub const MAXIMUM_POOL_NAME_BYTES: usize = MAXIMUM_AGENT_NAME_BYTES;
/// The longest name of a namespace, which is a DNS label.
pub const MAXIMUM_NAMESPACE_BYTES: usize = 63;

/// The admission rule for the name of an Agent.
pub(crate) fn agent_name_rule() -> String {
    name_rule(MAXIMUM_AGENT_NAME_BYTES)
}

/// The message of [`agent_name_rule`].
pub(crate) fn agent_name_message() -> String {
    name_message("an Agent", MAXIMUM_AGENT_NAME_BYTES)
}

/// The admission rule for the name of a WorkerPool.
pub(crate) fn pool_name_rule() -> String {
    name_rule(MAXIMUM_POOL_NAME_BYTES)
}

/// The message of [`pool_name_rule`].
pub(crate) fn pool_name_message() -> String {
    name_message("a WorkerPool", MAXIMUM_POOL_NAME_BYTES)
}

fn name_rule(maximum_bytes: usize) -> String {
    format!(
        "self.metadata.name.size() <= {maximum_bytes} && \
         self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')"
    )
}

fn name_message(whose: &str, maximum_bytes: usize) -> String {
    format!(
        "{whose}'s name is a DNS label of at most {maximum_bytes} characters: \
         lower case letters, digits and '-'"
    )
}

/// The Temporal task queue of one Agent's workers.
#[must_use]
pub fn agent_task_queue(install: &str, namespace: &str, agent: &str) -> String {
    format!("{install}/{namespace}/agent/{agent}")
}

/// The Temporal task queue of a WorkerPool, one for all Agents on it.
#[must_use]
pub fn pool_task_queue(install: &str, namespace: &str, pool: &str) -> String {
    format!("{install}/{namespace}/pool/{pool}")
}

/// The install id, the namespace and the WorkerPool of a task queue; `None` for a queue that is no pool's.
#[must_use]
pub fn parse_pool_task_queue(task_queue: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = task_queue.split('/').collect();
    let [install, namespace, _, pool] = parts[..] else {
        return None;
    };
    (pool_task_queue(install, namespace, pool) == task_queue).then_some((install, namespace, pool))
}

/// The task queue of an Agent: that of its pool, or its own.
#[must_use]
pub fn home_task_queue(install: &str, namespace: &str, agent: &str, pool: Option<&str>) -> String {
    pool.map_or_else(
        || agent_task_queue(install, namespace, agent),
        |pool| pool_task_queue(install, namespace, pool),
    )
}

/// The name of an Agent where it stands beside Agents of the own namespace; `namespace` is absent for one of those.
#[must_use]
pub fn qualified_name(namespace: Option<&str>, agent: &str) -> String {
    // No name contains a slash.
    namespace.map_or_else(|| agent.to_owned(), |namespace| format!("{namespace}/{agent}"))
}

/// The name of revision number `sequence` of `agent`.
#[must_use]
pub fn revision_name(agent: &str, sequence: i64) -> String {
    format!("{agent}-{sequence}")
}

/// The name of an AgentTool for the model, with `_` instead of `-` and `.`.
#[must_use]
pub fn function_name(tool: &str) -> String {
    tool.replace(['-', '.'], "_")
}

/// The default name of an Agent as a tool of the model.
#[must_use]
pub fn ask_function_name(agent: &str) -> String {
    format!("ask_{}", function_name(agent))
}

/// The name of the tool by which the model hands off to an Agent.
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
        assert_eq!(
            home_task_queue("prod", "team-a", "weather", Some("shared")),
            "prod/team-a/pool/shared"
        );
        assert_eq!(
            parse_pool_task_queue("prod/team-a/pool/shared"),
            Some(("prod", "team-a", "shared"))
        );
        for other in ["prod/team-a/agent/shared", "prod/pool/shared", "pool"] {
            assert_eq!(parse_pool_task_queue(other), None);
        }
        assert_eq!(revision_name("weather", 12), "weather-12");
        assert_eq!(function_name("get-weather"), "get_weather");
        assert_eq!(ask_function_name("web-search"), "ask_web_search");
        assert_eq!(transfer_function_name("spanish-support"), "transfer_to_spanish_support");
    }
}

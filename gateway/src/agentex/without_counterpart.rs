//! What Agentex has and Steadfast does not, and what to use instead. Pure.

use axum::http::Method;

/// Why a path of Agentex is not served; `None` for other paths.
pub(crate) fn without_counterpart(method: &Method, path: &str) -> Option<&'static str> {
    let path = path.trim_matches('/');
    let instead = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["spans", ..] => "spans are exported with OTLP to your collector: see docs/observability.md",
        ["states", ..] => "a task keeps its state itself: start it with params, or read GET /tasks/{id}/query/state",
        ["tracker", ..] => "the workflow of a task takes each event exactly once, so there is no read position",
        ["checkpoints", ..] => "a task needs no checkpoints: its workflow is durable",
        ["agents", "forward", ..] => "agents have no HTTP server of their own: use event/send or message/send",
        ["agents", _, "schedules", ..] => "schedules stand in spec.schedules of the Agent",
        ["agents", "register" | "register-build"] | ["agents", _, "deployments", ..] | ["deployment-history", ..] => {
            AGENTS
        }
        ["agents", "name", _] | ["agents", _] if *method == Method::DELETE => AGENTS,
        ["agent_api_keys", ..] => "callers authenticate with Kubernetes or with what the gateway is configured for",
        ["slack" | "linear", ..] => "chat services are not connected: use the gateway's API",
        ["messages" | "events", ..] if *method != Method::GET => {
            "messages are written by the agent and by event/send, so that no client can change what was said"
        }
        ["tasks", _, "fail" | "timeout"] => {
            "a task fails, or reaches its time limit, by itself: use cancel, complete or terminate"
        }
        ["tasks", _, "clean"] => "DELETE /tasks/{id} erases a task with everything that belongs to it",
        ["tasks", _, "rehydrate"] => "a log that has expired is rebuilt from Temporal when somebody reads it",
        ["tasks", _, "export"] => "GET /tasks/{id}/export answers with the task and its messages",
        _ => return None,
    };
    Some(instead)
}

const AGENTS: &str = "agents are Agent resources of the cluster: apply and delete them there";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_agentex_has_is_explained() {
        let explained = |method: Method, path: &str| without_counterpart(&method, path).is_some();
        for (method, path) in [
            (Method::POST, "/spans"),
            (Method::GET, "/states?task_id=t"),
            (Method::PUT, "/messages/m"),
            (Method::POST, "/messages/batch"),
            (Method::POST, "/tasks/t/clean"),
            (Method::DELETE, "/agents/name/a"),
        ] {
            let path = path.split('?').next().unwrap();
            assert!(explained(method.clone(), path), "{method} {path}");
        }
        for path in ["/", "/messages", "/tasks/t/stream", "/agents/a", "/spanish"] {
            assert!(!explained(Method::GET, path), "{path}");
        }
    }
}

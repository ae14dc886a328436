//! The audit log: one line per request of an authenticated caller, with who asked for what of which agent and task, and
//! whether it was permitted. Never what was said: no message, argument, header or body.
//!
//! What a request turns out to be about is known only where it is handled, so the permission checks leave it in the
//! trail of the request, and the line is written when the response begins.

use std::{cell::RefCell, net::IpAddr};

use axum::http::{Method, StatusCode};

use crate::agents::AgentName;

/// The longest id that is written; callers choose them.
const MAX_ID_CHARS: usize = 300;

tokio::task_local! {
    static TRAIL: RefCell<Trail>;
}

/// What the checks of one request have left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trail {
    /// The last permission that was checked: the one that decided.
    check: Option<Check>,
    /// Whether permissions on several agents were checked, as for a list.
    is_of_several: bool,
    task: String,
    approval: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    verb: &'static str,
    subresource: Option<&'static str>,
    namespace: String,
    agent: String,
    allowed: bool,
}

impl Check {
    /// Whether both ask for the same, be it of own tasks or of those of others.
    fn is_like(&self, other: &Self) -> bool {
        let of_anybody = |subresource| {
            if subresource == Some("alltasks") {
                Some("tasks")
            } else {
                subresource
            }
        };
        self.verb == other.verb && of_anybody(self.subresource) == of_anybody(other.subresource)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Denied,
    /// Refused before anybody looked at permissions, because there are too many requests.
    Limited,
    /// It failed before anybody looked at permissions: it is malformed, or something that the gateway needs is away.
    Undecided,
}

/// Who acts, and by what that was shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor<'a> {
    pub(crate) user: &'a str,
    pub(crate) credential: &'static str,
    /// The name of the API key, where it is one.
    pub(crate) key_name: &'a str,
}

/// A request and its response, for the line.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) actor: Actor<'a>,
    pub(crate) method: &'a Method,
    /// The pattern of the route, never a path.
    pub(crate) route: &'a str,
    pub(crate) rpc_method: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) id: &'a str,
    pub(crate) peer: Option<IpAddr>,
}

/// Runs a request, and returns what its checks have left.
pub(crate) async fn trailed<T>(request: impl Future<Output = T>) -> (T, Trail) {
    let run = async {
        let answer = request.await;
        (answer, TRAIL.with(RefCell::take))
    };
    TRAIL.scope(RefCell::default(), run).await
}

/// A permission was checked.
pub(crate) fn checked(verb: &'static str, subresource: Option<&'static str>, agent: &AgentName, allowed: bool) {
    leave(|trail| {
        let check = Check {
            verb,
            subresource,
            namespace: agent.namespace.clone(),
            agent: agent.name.clone(),
            allowed,
        };
        if let Some(before) = trail.check.as_ref().filter(|before| before.is_like(&check)) {
            trail.is_of_several |= before.namespace != check.namespace || before.agent != check.agent;
        } else {
            // What was looked up before, such as the agents that the caller may see, is not what is asked for.
            trail.is_of_several = false;
        }
        trail.check = Some(check);
    });
}

/// The request is about a task.
pub(crate) fn task(id: &str) {
    leave(|trail| trail.task = shortened(id));
}

/// The request is about an approval.
pub(crate) fn approval(id: &str) {
    leave(|trail| trail.approval = shortened(id));
}

/// Nothing happens outside of a request, as in a stream that is open already.
fn leave(change: impl FnOnce(&mut Trail)) {
    let _ = TRAIL.try_with(|trail| change(&mut trail.borrow_mut()));
}

fn shortened(id: &str) -> String {
    id.chars().take(MAX_ID_CHARS).collect()
}

/// Writes the line of a request.
pub(crate) fn log(request: &Request<'_>, trail: &Trail) {
    let outcome = outcome(request.status, trail);
    let (verb, resource, namespace, agent) = trail.words();
    // The target is a constant of the line, so there are two.
    macro_rules! line {
        ($target:literal) => {
            tracing::info!(
                target: $target,
                user = request.actor.user,
                credential = request.actor.credential,
                key = request.actor.key_name,
                verb,
                resource,
                namespace,
                agent,
                task = trail.task,
                approval = trail.approval,
                decision = outcome.name(),
                status = request.status.as_u16(),
                method = request.method.as_str(),
                route = request.route,
                rpc_method = request.rpc_method,
                request_id = request.id,
                peer = request.peer.map(tracing::field::display),
                "audit"
            )
        };
    }
    if request.method.is_safe() {
        line!("audit::read");
    } else {
        line!("audit::write");
    }
}

/// Writes the line of a stream that ends because its viewer may no longer see the task.
pub(crate) fn log_revoked(actor: Actor<'_>, agent: &AgentName, task_id: &str, reason: &str) {
    tracing::info!(
        target: "audit::read",
        user = actor.user,
        credential = actor.credential,
        key = actor.key_name,
        namespace = agent.namespace,
        agent = agent.name,
        task = task_id,
        decision = "revoked",
        reason,
        "audit"
    );
}

impl Trail {
    /// Verb, resource, namespace and agent; empty where unknown, or where there are several.
    fn words(&self) -> (&'static str, String, &str, &str) {
        let Some(check) = &self.check else {
            return ("", String::new(), "", "");
        };
        let resource = match check.subresource {
            None => "agents".to_owned(),
            Some(subresource) => format!("agents/{subresource}"),
        };
        let (namespace, agent) = if self.is_of_several {
            ("", "")
        } else {
            (check.namespace.as_str(), check.agent.as_str())
        };
        (check.verb, resource, namespace, agent)
    }
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Limited => "limited",
            Self::Undecided => "undecided",
        }
    }
}

/// A response that hides what the caller may not see says that it does not exist: the trail knows better.
fn outcome(status: StatusCode, trail: &Trail) -> Outcome {
    let was_allowed = trail.check.as_ref().map(|check| check.allowed);
    match (status, was_allowed) {
        (StatusCode::FORBIDDEN, _) | (StatusCode::NOT_FOUND, Some(false)) => Outcome::Denied,
        (StatusCode::TOO_MANY_REQUESTS, None) => Outcome::Limited,
        (status, None) if status.is_client_error() || status.is_server_error() => Outcome::Undecided,
        _ => Outcome::Allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn haiku() -> AgentName {
        AgentName::new("default", "haiku")
    }

    #[tokio::test]
    async fn the_last_check_decides_and_names_the_agent() {
        let ((), trail) = trailed(async {
            checked("create", Some("tasks"), &haiku(), true);
            task("t1");
            checked("create", Some("alltasks"), &haiku(), false);
        })
        .await;
        assert_eq!(
            trail.words(),
            ("create", "agents/alltasks".to_owned(), "default", "haiku")
        );
        assert_eq!(trail.task, "t1");
        assert_eq!(outcome(StatusCode::NOT_FOUND, &trail), Outcome::Denied);
        assert_eq!(outcome(StatusCode::OK, &trail), Outcome::Allowed);
    }

    #[tokio::test]
    async fn a_list_is_of_no_agent_in_particular() {
        let ((), trail) = trailed(async {
            checked("get", None, &haiku(), true);
            checked("get", None, &AgentName::new("poets", "haiku"), false);
        })
        .await;
        assert_eq!(trail.words(), ("get", "agents".to_owned(), "", ""));
        // A task that is looked up among the agents that a caller may see is of one.
        let ((), trail) = trailed(async {
            checked("list", None, &AgentName::new("poets", ""), true);
            checked("list", None, &AgentName::new("default", ""), true);
            checked("get", Some("tasks"), &haiku(), true);
        })
        .await;
        assert_eq!(trail.words(), ("get", "agents/tasks".to_owned(), "default", "haiku"));
    }

    #[tokio::test]
    async fn requests_at_the_same_time_have_trails_of_their_own() {
        let one = trailed(async {
            task("one");
            tokio::task::yield_now().await;
        });
        let other = trailed(async { task("other") });
        let (((), one), ((), other)) = tokio::join!(one, other);
        assert_eq!((one.task.as_str(), other.task.as_str()), ("one", "other"));
        // Outside of a request there is no trail, and the call does nothing.
        task("nobody");
    }

    #[test]
    fn what_was_not_decided_is_not_called_allowed() {
        let none = Trail::default();
        assert_eq!(outcome(StatusCode::TOO_MANY_REQUESTS, &none), Outcome::Limited);
        assert_eq!(outcome(StatusCode::SERVICE_UNAVAILABLE, &none), Outcome::Undecided);
        assert_eq!(outcome(StatusCode::NOT_FOUND, &none), Outcome::Undecided);
        assert_eq!(outcome(StatusCode::OK, &none), Outcome::Allowed);
        assert_eq!(shortened(&"é".repeat(400)).chars().count(), MAX_ID_CHARS);
    }
}

//! Who a caller is and what the caller may do. Closed by default: without an
//! answer from Kubernetes nobody gets in, except where the operator of this
//! gateway said that everyone may.

mod kubernetes;

use axum::http::{HeaderMap, header};

use crate::{directory::AgentName, error::ApiError};

pub use kubernetes::KubernetesAccess;

/// How callers are told apart.
#[derive(Clone)]
pub enum Access {
    /// Everyone is anonymous and may do everything. For local use only.
    Anonymous,
    /// Tokens and permissions are those of a Kubernetes API server.
    Kubernetes(Box<KubernetesAccess>),
}

/// Whether who created a task may decide its approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfApproval {
    Allowed,
    Forbidden,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    Anonymous,
    User(User),
}

/// A user as Kubernetes knows one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: Vec<(String, Vec<String>)>,
}

impl Caller {
    /// The name that a task remembers of its creator; empty when anonymous.
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous => "",
            Self::User(user) => &user.name,
        }
    }
}

/// What a caller wants to do, in the words of Kubernetes' RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `get agents`
    ReadAgent,
    /// `create agents/tasks`: start tasks, send to them, end them.
    WriteTasks,
    /// `get agents/tasks`: read own tasks.
    ReadTasks,
    /// `create agents/alltasks`: the same for tasks that others created.
    WriteAllTasks,
    /// `get agents/alltasks`
    ReadAllTasks,
    /// `get agents/approvals`: see what an agent asks people, in anyone's task.
    ReadApprovals,
    /// `update agents/approvals`: decide it.
    DecideApprovals,
}

impl Action {
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::ReadAgent | Self::ReadTasks | Self::ReadAllTasks | Self::ReadApprovals => "get",
            Self::WriteTasks | Self::WriteAllTasks => "create",
            Self::DecideApprovals => "update",
        }
    }

    pub(crate) fn subresource(self) -> Option<&'static str> {
        match self {
            Self::ReadAgent => None,
            Self::WriteTasks | Self::ReadTasks => Some("tasks"),
            Self::WriteAllTasks | Self::ReadAllTasks => Some("alltasks"),
            Self::ReadApprovals | Self::DecideApprovals => Some("approvals"),
        }
    }

    /// The same for tasks that others created.
    #[must_use]
    pub fn of_others(self) -> Self {
        match self {
            Self::WriteTasks => Self::WriteAllTasks,
            Self::ReadTasks => Self::ReadAllTasks,
            other => other,
        }
    }
}

impl Access {
    /// Finds out who sent a request.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        match self {
            Self::Anonymous => Ok(Caller::Anonymous),
            Self::Kubernetes(kubernetes) => {
                let token = bearer_token(headers)
                    .ok_or_else(|| ApiError::unauthorized("an Authorization header with a bearer token is needed"))?;
                let user = kubernetes.review_token(token).await?;
                user.map(Caller::User)
                    .ok_or_else(|| ApiError::unauthorized("the bearer token is not valid"))
            }
        }
    }

    /// Whether a caller may do something with an agent.
    pub async fn allows(&self, caller: &Caller, action: Action, agent: &AgentName) -> Result<bool, ApiError> {
        match (self, caller) {
            (Self::Anonymous, _) => Ok(true),
            (Self::Kubernetes(_), Caller::Anonymous) => Ok(false),
            (Self::Kubernetes(kubernetes), Caller::User(user)) => kubernetes.review_access(user, action, agent).await,
        }
    }

    /// Whether a caller may see every agent of a namespace.
    pub async fn may_list(&self, caller: &Caller, namespace: &str) -> Result<bool, ApiError> {
        match (self, caller) {
            (Self::Anonymous, _) => Ok(true),
            (Self::Kubernetes(_), Caller::Anonymous) => Ok(false),
            (Self::Kubernetes(kubernetes), Caller::User(user)) => kubernetes.review_list(user, namespace).await,
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_a_bearer_token_counts() {
        let token = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer_token(&headers).map(str::to_owned)
        };
        assert_eq!(token("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(token("bearer  abc"), Some("abc".to_owned()));
        for value in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(token(value), None, "{value}");
        }
    }
}

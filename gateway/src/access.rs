//! Authentication and authorisation of callers. Without a response from Kubernetes every
//! request is refused, unless the gateway was started to allow anonymous access.

mod api_keys;
mod identity;
mod kubernetes;
mod oidc;
mod presented;
mod proxy;
mod sign_in;
#[cfg(test)]
pub(crate) mod testing;
mod unknown_tokens;

use axum::http::Request;
use secrecy::ExposeSecret as _;

use crate::{
    agents::AgentName,
    audit::{self, Actor},
    error::ApiError,
};

pub use self::{
    api_keys::ApiKeys,
    kubernetes::{CacheAges, KubernetesAccess},
    oidc::{Oidc, OidcError, OidcSettings},
    proxy::ProxySettings,
    sign_in::OidcLogin,
};
pub(crate) use self::{
    identity::Credential,
    presented::{FromTrustedProxy, Presented},
    sign_in::SignInWays,
};

/// The group of everybody whom Kubernetes has authenticated.
const AUTHENTICATED: &str = "system:authenticated";
/// Names that only Kubernetes itself gives: its administrators, its own components, service accounts.
const RESERVED_PREFIX: &str = "system:";
/// Groups of a user; each is part of every question to the API server.
const MAX_GROUPS: usize = 200;

/// How callers are authenticated and authorised.
#[derive(Clone)]
pub enum Access {
    /// Everyone is anonymous and may do everything. For local use only.
    Anonymous,
    /// Permissions are those of a Kubernetes API server. Callers have tokens that it knows, API keys, or tokens of an
    /// OpenID Connect issuer, or come through a proxy that names them.
    Kubernetes(Box<KubernetesAccess>),
}

/// Whether users may decide the approvals that they caused: those of tasks that they created, and those
/// of turns that answer their message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfApproval {
    Allowed,
    Forbidden,
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    Anonymous,
    User(User),
}

/// A caller, and what it takes to ask again later whether the caller is still let in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) caller: Caller,
    pub(crate) credential: Credential,
    presented: Presented,
}

impl Session {
    /// The caller, for the audit log.
    pub(crate) fn actor(&self) -> Actor<'_> {
        Actor {
            user: self.caller.name(),
            credential: self.credential.kind(),
            key_name: self.credential.key_name(),
        }
    }
}

/// A user as Kubernetes knows one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: Vec<(String, Vec<String>)>,
}

impl Caller {
    /// The name that a task records as its creator; empty when anonymous.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Anonymous => "",
            Self::User(user) => &user.name,
        }
    }
}

/// An action as a verb and a resource of Kubernetes RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// `get agents`
    ReadAgent,
    /// `create agents/tasks`: start tasks, send to them, end them.
    WriteTasks,
    /// `get agents/tasks`: read own tasks.
    ReadTasks,
    /// `create agents/alltasks`: the same for tasks of other users.
    WriteAllTasks,
    /// `get agents/alltasks`
    ReadAllTasks,
    /// `delete agents/tasks`: erase own tasks.
    DeleteTasks,
    /// `delete agents/alltasks`: erase tasks of other users.
    DeleteAllTasks,
    /// `get agents/approvals`: read the approvals of an agent, in tasks of any user.
    ReadApprovals,
    /// `update agents/approvals`: decide them.
    DecideApprovals,
}

impl Action {
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::ReadAgent | Self::ReadTasks | Self::ReadAllTasks | Self::ReadApprovals => "get",
            Self::WriteTasks | Self::WriteAllTasks => "create",
            Self::DeleteTasks | Self::DeleteAllTasks => "delete",
            Self::DecideApprovals => "update",
        }
    }

    pub(crate) fn subresource(self) -> Option<&'static str> {
        match self {
            Self::ReadAgent => None,
            Self::WriteTasks | Self::ReadTasks | Self::DeleteTasks => Some("tasks"),
            Self::WriteAllTasks | Self::ReadAllTasks | Self::DeleteAllTasks => Some("alltasks"),
            Self::ReadApprovals | Self::DecideApprovals => Some("approvals"),
        }
    }

    /// The action on tasks of other users.
    #[must_use]
    pub(crate) fn on_tasks_of_others(self) -> Self {
        match self {
            Self::WriteTasks => Self::WriteAllTasks,
            Self::ReadTasks => Self::ReadAllTasks,
            Self::DeleteTasks => Self::DeleteAllTasks,
            other => other,
        }
    }
}

impl Access {
    /// What a request shows of its sender.
    pub(crate) fn presented<B>(&self, request: &Request<B>) -> Result<Presented, ApiError> {
        let proxy = match self {
            Self::Anonymous => None,
            Self::Kubernetes(kubernetes) => kubernetes.proxy.as_ref(),
        };
        Presented::read(request, proxy)
    }

    /// The caller whom a request shows.
    pub(crate) async fn authenticate(&self, presented: Presented) -> Result<Session, ApiError> {
        let (caller, credential) = self.caller(&presented).await?;
        Ok(Session {
            caller,
            credential,
            presented,
        })
    }

    /// The caller of a session as of now; an error if the token is no longer valid.
    pub(crate) async fn authenticate_again(&self, session: &Session) -> Result<Caller, ApiError> {
        let (caller, _) = self.caller(&session.presented).await?;
        Ok(caller)
    }

    async fn caller(&self, presented: &Presented) -> Result<(Caller, Credential), ApiError> {
        let Presented {
            token,
            proxy_user,
            peer,
        } = presented;
        match self {
            Self::Anonymous => Ok((Caller::Anonymous, Credential::None)),
            Self::Kubernetes(kubernetes) => {
                // As at the API server: whom a proxy has authenticated, that is who asks.
                if let Some(user) = proxy_user {
                    return Ok((Caller::User(user.clone()), Credential::ProxyHeader));
                }
                let token = token
                    .as_ref()
                    .ok_or_else(|| ApiError::unauthorized("an Authorization header with a bearer token is needed"))?;
                let (user, credential) = kubernetes.identify(token.expose_secret(), *peer).await?;
                Ok((Caller::User(user), credential))
            }
        }
    }

    /// Whether a caller may perform an action on an agent.
    pub(crate) async fn allows(&self, caller: &Caller, action: Action, agent: &AgentName) -> Result<bool, ApiError> {
        let allowed = match (self, caller) {
            (Self::Anonymous, _) => true,
            (Self::Kubernetes(_), Caller::Anonymous) => false,
            (Self::Kubernetes(kubernetes), Caller::User(user)) => kubernetes.review_access(user, action, agent).await?,
        };
        audit::checked(action.verb(), action.subresource(), agent, allowed);
        Ok(allowed)
    }

    /// Whether a caller may perform an action on all agents of all namespaces.
    pub(crate) async fn allows_everywhere(&self, caller: &Caller, action: Action) -> Result<bool, ApiError> {
        let everywhere = AgentName::new("", "");
        self.allows(caller, action, &everywhere).await
    }

    /// Whether a caller may see every agent of a namespace.
    pub(crate) async fn may_list(&self, caller: &Caller, namespace: &str) -> Result<bool, ApiError> {
        let allowed = match (self, caller) {
            (Self::Anonymous, _) => true,
            (Self::Kubernetes(_), Caller::Anonymous) => false,
            (Self::Kubernetes(kubernetes), Caller::User(user)) => kubernetes.review_list(user, namespace).await?,
        };
        audit::checked("list", None, &AgentName::new(namespace, ""), allowed);
        Ok(allowed)
    }
}

#[cfg(test)]
impl Session {
    /// A session of the user whose token is its name.
    pub(crate) fn of_user(name: &str) -> Self {
        Self {
            caller: Caller::User(User {
                name: name.to_owned(),
                ..User::default()
            }),
            credential: Credential::ClusterToken,
            presented: Presented {
                token: Some(name.into()),
                ..Presented::default()
            },
        }
    }

    /// The session of somebody without a token.
    pub(crate) fn anonymous() -> Self {
        Self {
            caller: Caller::Anonymous,
            credential: Credential::None,
            presented: Presented::default(),
        }
    }
}

/// Whether only Kubernetes itself may give a user or a group this name.
fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED_PREFIX)
}

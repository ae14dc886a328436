//! Token reviews and access reviews by a Kubernetes API server. Results are cached for a short
//! time, and who asks the same at the same time shares one review. Without a response the request
//! fails. What somebody may do in a namespace is asked in that namespace, for which a Role is
//! enough: an installation without ClusterRoles knows its callers by API keys or an issuer.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{LocalSubjectAccessReview, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use moka::{Expiry, future::Cache};
use sha2::{Digest as _, Sha256};
use tokio::{sync::Semaphore, time::timeout};

use super::{Action, ApiKeys, Oidc, OidcLogin, ProxySettings, User, unknown_tokens::UnknownTokens};
use crate::{agents::AgentName, error::ApiError};

const GROUP: &str = "steadfast.dev";
const RESOURCE: &str = "agents";
const CACHE_ENTRIES: u64 = 10_000;
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);
/// Reviews under way at a time; others wait, within [`REVIEW_TIMEOUT`].
const REVIEWS: usize = 64;

#[derive(Clone)]
pub struct KubernetesAccess {
    client: Client,
    /// Audiences of which a token must have one; those of the API server when empty.
    audiences: Vec<String>,
    /// By the hash of the token; `None` for a token that is not valid.
    tokens: Cache<[u8; 32], Option<User>>,
    pub(super) unknown_tokens: UnknownTokens,
    pub(super) api_keys: Option<ApiKeys>,
    pub(super) oidc: Option<Oidc>,
    pub(super) oidc_login: Option<OidcLogin>,
    pub(super) proxy: Option<ProxySettings>,
    decisions: Cache<AccessQuery, bool>,
    reviews: Arc<Semaphore>,
}

/// For how long what Kubernetes answered holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheAges {
    /// A valid token: a revoked one is refused after this time at the latest.
    pub token: Duration,
    /// A token that is not valid: short, so that a new one works soon.
    pub refused_token: Duration,
    /// What a user may do, or may not.
    pub decision: Duration,
}

impl Default for CacheAges {
    fn default() -> Self {
        Self {
            token: Duration::from_mins(1),
            refused_token: Duration::from_secs(5),
            decision: Duration::from_secs(30),
        }
    }
}

impl Expiry<[u8; 32], Option<User>> for CacheAges {
    fn expire_after_create(&self, _: &[u8; 32], user: &Option<User>, _: Instant) -> Option<Duration> {
        Some(if user.is_some() { self.token } else { self.refused_token })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AccessQuery {
    user: User,
    verb: &'static str,
    subresource: Option<&'static str>,
    namespace: String,
    /// Empty for all agents of the namespace.
    name: String,
}

impl KubernetesAccess {
    pub fn new(client: Client, audiences: Vec<String>) -> Self {
        Self::with_ages(client, audiences, CacheAges::default())
    }

    /// The same with other ages of the caches.
    pub fn with_ages(client: Client, audiences: Vec<String>, ages: CacheAges) -> Self {
        Self {
            client,
            audiences,
            tokens: Cache::builder().max_capacity(CACHE_ENTRIES).expire_after(ages).build(),
            unknown_tokens: UnknownTokens::default(),
            api_keys: None,
            oidc: None,
            oidc_login: None,
            proxy: None,
            decisions: Cache::builder()
                .max_capacity(CACHE_ENTRIES)
                .time_to_live(ages.decision)
                .build(),
            reviews: Arc::new(Semaphore::new(REVIEWS)),
        }
    }

    /// Accepts API keys too.
    #[must_use]
    pub fn with_api_keys(self, api_keys: ApiKeys) -> Self {
        Self {
            api_keys: Some(api_keys),
            ..self
        }
    }

    /// Accepts tokens of an OpenID Connect issuer too.
    #[must_use]
    pub fn with_oidc(self, oidc: Oidc) -> Self {
        Self {
            oidc: Some(oidc),
            ..self
        }
    }

    /// Tells pages how people sign in at the issuer.
    #[must_use]
    pub fn with_oidc_login(self, login: OidcLogin) -> Self {
        Self {
            oidc_login: Some(login),
            ..self
        }
    }

    /// Accepts the word of trusted proxies on who a user is.
    #[must_use]
    pub fn with_proxy(self, proxy: ProxySettings) -> Self {
        Self {
            proxy: Some(proxy),
            ..self
        }
    }

    /// The user of a token; `None` for an invalid token.
    pub(super) async fn review_token(&self, token: &str, peer: Option<IpAddr>) -> Result<Option<User>, ApiError> {
        // The cache never contains a token.
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(user) = self.tokens.get(&hash).await {
            return Ok(user);
        }
        self.unknown_tokens.admit(&hash, peer).await?;
        let review = async {
            let answer = self.ask_whose_token(token).await;
            let is_outage = matches!(&answer, Err(error) if error.status != StatusCode::UNAUTHORIZED);
            if !is_outage {
                let is_valid = matches!(&answer, Ok(Some(_)));
                self.unknown_tokens.reviewed(hash, is_valid, peer).await;
            }
            answer
        };
        let user = self.tokens.try_get_with(hash, Box::pin(review)).await;
        user.map_err(|error| ApiError::of_shared(&error))
    }

    async fn ask_whose_token(&self, token: &str) -> Result<Option<User>, ApiError> {
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec {
                audiences: (!self.audiences.is_empty()).then(|| self.audiences.clone()),
                token: Some(token.to_owned()),
            },
            status: None,
        };
        let api = Api::all(self.client.clone());
        let status = match self.ask(api.create(&PostParams::default(), &review)).await? {
            Answer::Given(review) => review.status.unwrap_or_default(),
            Answer::NotPermitted => {
                // No line for each: strangers must not be able to fill the log.
                return Err(ApiError::unauthorized(
                    "this gateway accepts no tokens of the cluster: use an API key, or a token of its issuer",
                ));
            }
        };
        let has_audience = self.audiences.is_empty()
            || status
                .audiences
                .is_some_and(|audiences| audiences.iter().any(|audience| self.audiences.contains(audience)));
        let user = status
            .user
            .filter(|_| status.authenticated == Some(true) && has_audience)
            .map(|user| User {
                name: user.username.unwrap_or_default(),
                uid: user.uid.unwrap_or_default(),
                groups: user.groups.unwrap_or_default(),
                extra: user.extra.unwrap_or_default().into_iter().collect(),
            });
        // A user without a name would own the tasks of anonymous callers.
        Ok(user.filter(|user| !user.name.is_empty()))
    }

    pub(super) async fn review_access(&self, user: &User, action: Action, agent: &AgentName) -> Result<bool, ApiError> {
        self.review(AccessQuery {
            user: user.clone(),
            verb: action.verb(),
            subresource: action.subresource(),
            namespace: agent.namespace.clone(),
            name: agent.name.clone(),
        })
        .await
    }

    pub(super) async fn review_list(&self, user: &User, namespace: &str) -> Result<bool, ApiError> {
        self.review(AccessQuery {
            user: user.clone(),
            verb: "list",
            subresource: None,
            namespace: namespace.to_owned(),
            name: String::new(),
        })
        .await
    }

    async fn review(&self, query: AccessQuery) -> Result<bool, ApiError> {
        self.decisions
            .try_get_with_by_ref(&query, Box::pin(self.ask_whether_allowed(query.clone())))
            .await
            .map_err(|error| ApiError::of_shared(&error))
    }

    async fn ask_whether_allowed(&self, query: AccessQuery) -> Result<bool, ApiError> {
        let AccessQuery {
            user,
            verb,
            subresource,
            namespace,
            name,
        } = query;
        let spec = SubjectAccessReviewSpec {
            user: Some(user.name),
            uid: Some(user.uid),
            groups: Some(user.groups),
            extra: Some(user.extra.into_iter().collect()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                resource: Some(RESOURCE.to_owned()),
                subresource: subresource.map(str::to_owned),
                verb: Some(verb.to_owned()),
                namespace: Some(namespace.clone()),
                name: (!name.is_empty()).then_some(name),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        };
        let (client, parameters) = (self.client.clone(), PostParams::default());
        let answer = if namespace.is_empty() {
            let review = SubjectAccessReview {
                spec,
                ..SubjectAccessReview::default()
            };
            let answer = self.ask(Api::all(client).create(&parameters, &review)).await?;
            answer.map(|review: SubjectAccessReview| review.status)
        } else {
            let review = LocalSubjectAccessReview {
                metadata: ObjectMeta {
                    namespace: Some(namespace.clone()),
                    ..ObjectMeta::default()
                },
                spec,
                ..LocalSubjectAccessReview::default()
            };
            let api = Api::namespaced(client, &namespace);
            let answer = self.ask(api.create(&parameters, &review)).await?;
            answer.map(|review: LocalSubjectAccessReview| review.status)
        };
        match answer {
            Answer::Given(status) => Ok(status.is_some_and(|status| status.allowed)),
            Answer::NotPermitted => Err(ApiError::unavailable(
                "the Kubernetes API server",
                format!(
                    "the ServiceAccount of the gateway may not ask what callers may do in the namespace {namespace:?}"
                ),
            )),
        }
    }

    async fn ask<K>(&self, create: impl Future<Output = kube::Result<K>>) -> Result<Answer<K>, ApiError> {
        let answer = timeout(REVIEW_TIMEOUT, async {
            // Never closed, so there is always a permit.
            let _permit = self.reviews.acquire().await;
            create.await
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(Answer::Given(answer)),
            Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => Ok(Answer::NotPermitted),
            Ok(Err(error)) => Err(ApiError::unavailable("the Kubernetes API server", error)),
            Err(late) => Err(ApiError::unavailable("the Kubernetes API server", late)),
        }
    }
}

/// What the API server says to a review.
enum Answer<T> {
    Given(T),
    /// The gateway's ServiceAccount may not ask.
    NotPermitted,
}

impl<T> Answer<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::Given(value) => Answer::Given(change(value)),
            Self::NotPermitted => Answer::NotPermitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::access::{identity::MAX_TOKEN_BYTES, testing::FakeCluster};

    #[tokio::test]
    async fn who_asks_the_same_at_the_same_time_shares_one_review() {
        let cluster = FakeCluster::with_user("alice");
        let access = cluster.access(CacheAges::default());
        let users = join_all((0..100).map(|_| access.review_token("alice", None))).await;
        let user = users[0].as_ref().unwrap().clone().unwrap();
        assert!(
            users
                .iter()
                .all(|other| other.as_ref().unwrap().as_ref() == Some(&user))
        );
        let agent = AgentName::new("default", "haiku");
        let allowed = join_all((0..100).map(|_| access.review_access(&user, Action::ReadTasks, &agent))).await;
        assert!(allowed.into_iter().all(Result::unwrap));
        assert_eq!(cluster.reviews(), (1, 1));
    }

    #[tokio::test]
    async fn the_server_is_asked_about_a_bounded_number_of_wrong_tokens() {
        let cluster = FakeCluster::with_user("alice");
        let access = cluster.access(CacheAges::default());
        let mut refused = 0;
        for number in 0..500 {
            match access.review_token(&format!("forged-{number}"), None).await {
                Ok(user) => assert_eq!(user, None),
                Err(error) => {
                    assert_eq!(error.status, StatusCode::TOO_MANY_REQUESTS);
                    refused += 1;
                }
            }
        }
        assert_eq!((cluster.reviews().0, refused), (100, 400));
        // The same wrong token is not asked about again either.
        assert_eq!(access.review_token("forged-0", None).await.unwrap(), None);
        assert_eq!(cluster.reviews().0, 100);
    }

    #[tokio::test]
    async fn an_outage_is_told_and_not_remembered() {
        let cluster = FakeCluster::with_user("alice");
        let access = cluster.access(CacheAges::default());
        cluster.stop_answering();
        let error = access.review_token("alice", None).await.unwrap_err();
        assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
        cluster.answer_again();
        assert!(access.review_token("alice", None).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_was_decided_lives_on_while_the_server_is_away_and_no_longer_than_its_age() {
        const AGE: Duration = Duration::from_millis(300);
        let cluster = FakeCluster::with_user("alice");
        let access = cluster.access(CacheAges {
            token: AGE,
            decision: AGE,
            ..CacheAges::default()
        });
        let agent = AgentName::new("default", "haiku");
        let alice = access.review_token("alice", None).await.unwrap().unwrap();
        assert!(access.review_access(&alice, Action::ReadTasks, &agent).await.unwrap());
        cluster.stop_answering();
        assert_eq!(access.review_token("alice", None).await.unwrap().as_ref(), Some(&alice));
        assert!(access.review_access(&alice, Action::ReadTasks, &agent).await.unwrap());
        // What nobody has asked yet is not decided.
        let new = access.review_access(&alice, Action::WriteTasks, &agent).await;
        assert_eq!(new.unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);

        let too_old = async {
            while access.review_token("alice", None).await.is_ok()
                || access.review_access(&alice, Action::ReadTasks, &agent).await.is_ok()
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), too_old)
            .await
            .expect("an end of what was decided");
    }

    #[tokio::test]
    async fn no_token_is_longer_than_tokens_are() {
        let cluster = FakeCluster::with_user("alice");
        let access = cluster.access(CacheAges::default());
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        let error = access.identify(&long, None).await.unwrap_err();
        assert_eq!(error.status, StatusCode::UNAUTHORIZED);
        assert_eq!(cluster.reviews().0, 0);
    }
}

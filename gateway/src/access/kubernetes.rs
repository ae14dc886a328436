//! Token reviews and access reviews by a Kubernetes API server. Results are cached for a short
//! time; without a response the request fails.

use std::time::Duration;

use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{Action, User};
use crate::{agents::AgentName, error::ApiError};

const GROUP: &str = "steadfast.dev";
const RESOURCE: &str = "agents";
/// A revoked token is refused after this time at the latest.
const USER_TTL: Duration = Duration::from_mins(1);
/// Short, so that a new token works soon.
const REFUSAL_TTL: Duration = Duration::from_secs(5);
const REVIEW_TTL: Duration = Duration::from_secs(30);
const CACHE_ENTRIES: u64 = 10_000;
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct KubernetesAccess {
    client: Client,
    /// Audiences of which a token must have one; those of the API server when empty.
    audiences: Vec<String>,
    users: Cache<[u8; 32], User>,
    refusals: Cache<[u8; 32], ()>,
    reviews: Cache<AccessQuery, bool>,
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
        Self {
            client,
            audiences,
            users: Cache::builder()
                .max_capacity(CACHE_ENTRIES)
                .time_to_live(USER_TTL)
                .build(),
            refusals: Cache::builder()
                .max_capacity(CACHE_ENTRIES)
                .time_to_live(REFUSAL_TTL)
                .build(),
            reviews: Cache::builder()
                .max_capacity(CACHE_ENTRIES)
                .time_to_live(REVIEW_TTL)
                .build(),
        }
    }

    /// The user of a token; `None` for an invalid token.
    pub(super) async fn review_token(&self, token: &str) -> Result<Option<User>, ApiError> {
        // The cache never contains a token.
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(user) = self.users.get(&hash).await {
            return Ok(Some(user));
        }
        if self.refusals.contains_key(&hash) {
            return Ok(None);
        }
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec {
                audiences: (!self.audiences.is_empty()).then(|| self.audiences.clone()),
                token: Some(token.to_owned()),
            },
            status: None,
        };
        let status = self.create(review).await?.status.unwrap_or_default();
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
        let user = user.filter(|user| !user.name.is_empty());
        match &user {
            Some(user) => self.users.insert(hash, user.clone()).await,
            None => self.refusals.insert(hash, ()).await,
        }
        Ok(user)
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
        if let Some(allowed) = self.reviews.get(&query).await {
            return Ok(allowed);
        }
        let AccessQuery {
            user,
            verb,
            subresource,
            namespace,
            name,
        } = query.clone();
        let review = SubjectAccessReview {
            metadata: ObjectMeta::default(),
            spec: SubjectAccessReviewSpec {
                user: Some(user.name),
                uid: Some(user.uid),
                groups: Some(user.groups),
                extra: Some(user.extra.into_iter().collect()),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(GROUP.to_owned()),
                    resource: Some(RESOURCE.to_owned()),
                    subresource: subresource.map(str::to_owned),
                    verb: Some(verb.to_owned()),
                    namespace: Some(namespace),
                    name: (!name.is_empty()).then_some(name),
                    ..ResourceAttributes::default()
                }),
                non_resource_attributes: None,
            },
            status: None,
        };
        let allowed = self.create(review).await?.status.is_some_and(|status| status.allowed);
        self.reviews.insert(query, allowed).await;
        Ok(allowed)
    }

    async fn create<K>(&self, review: K) -> Result<K, ApiError>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let api = Api::<K>::all(self.client.clone());
        match timeout(REVIEW_TIMEOUT, api.create(&PostParams::default(), &review)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(ApiError::unavailable("the Kubernetes API server", error)),
            Err(late) => Err(ApiError::unavailable("the Kubernetes API server", late)),
        }
    }
}

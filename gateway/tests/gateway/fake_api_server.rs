//! A Kubernetes API server that knows only reviews (who has which token, and which group may do what in which namespace)
//! and one Secret with API keys. It remembers what it was asked.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{Request, Response, StatusCode},
    response::IntoResponse as _,
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt as _, stream};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use steadfast_gateway::ApiKeys;
use tokio::{sync::broadcast, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::support::TIMEOUT;

/// The audience of the gateway's tokens.
pub(crate) const AUDIENCE: &str = "steadfast";

/// Clones are the same server.
#[derive(Clone, Debug)]
pub(crate) struct FakeApiServer {
    known: Arc<Mutex<Knowledge>>,
    /// The changes of the Secret, for those who watch it.
    changes: broadcast::Sender<Value>,
}

/// The Secret, and the namespace of the gateway.
const SECRET: &str = "keys";
const NAMESPACE: &str = "steadfast";

#[derive(Debug, Default)]
struct Knowledge {
    keys: BTreeMap<String, String>,
    tokens: BTreeMap<String, TokenHolder>,
    grants: Vec<Grant>,
    asked: Vec<Question>,
    is_down: bool,
}

#[derive(Debug)]
struct TokenHolder {
    user: String,
    groups: Vec<String>,
    audience: &'static str,
}

#[derive(Debug)]
struct Grant {
    group: &'static str,
    /// All where empty.
    namespace: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
}

/// Whether somebody may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub user: String,
    pub verb: String,
    /// With its subresource.
    pub resource: String,
    pub namespace: String,
    pub allowed: bool,
}

impl Default for FakeApiServer {
    fn default() -> Self {
        Self {
            known: Arc::default(),
            changes: broadcast::channel(16).0,
        }
    }
}

impl FakeApiServer {
    /// Gives the Secret an entry for a key.
    pub(crate) fn add_key(&self, key: &str, user: &str, groups: &[&str], expires: Option<&str>) {
        let digits = format!("{:x}", Sha256::digest(key));
        let mut entry = json!({"user": user, "groups": groups, "sha256": digits});
        if let Some(expires) = expires {
            entry["expires"] = json!(expires);
        }
        self.known().keys.insert(format!("entry-{digits}"), entry.to_string());
        self.tell_watchers();
    }

    /// Takes all entries from the Secret.
    pub(crate) fn remove_keys(&self) {
        self.known().keys.clear();
        self.tell_watchers();
    }

    /// The keys as a gateway has them that watches this server.
    pub(crate) async fn watched_keys(&self, stop: &CancellationToken) -> ApiKeys {
        let (known, mut are_known) = tokio::sync::watch::channel(false);
        let known = Arc::new(known);
        let ready = move || {
            known.send_replace(true);
        };
        let keys = ApiKeys::watch(&self.client(), NAMESPACE, &[SECRET.to_owned()], ready, stop);
        let known = timeout(TIMEOUT, are_known.wait_for(|known| *known)).await;
        known.expect("the Secret is read in time").unwrap();
        keys
    }

    fn tell_watchers(&self) {
        let secret = self.known().secret();
        // Nobody may watch.
        let _ = self.changes.send(json!({"type": "MODIFIED", "object": secret}));
    }

    pub(crate) fn add_token(&self, token: &str, user: &str, groups: &[&str], audience: &'static str) {
        let holder = TokenHolder {
            user: user.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            audience,
        };
        self.known().tokens.insert(token.to_owned(), holder);
    }

    pub(crate) fn revoke_token(&self, token: &str) {
        self.known().tokens.remove(token);
    }

    /// Lets a group do something with a resource of a namespace; of all namespaces where it is empty.
    pub(crate) fn grant(
        &self,
        group: &'static str,
        namespace: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
    ) {
        self.known().grants.push(Grant {
            group,
            namespace,
            resource,
            verbs,
        });
    }

    pub(crate) fn revoke_grants(&self, group: &str) {
        self.known().grants.retain(|grant| grant.group != group);
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.known().is_down = is_down;
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Question> {
        std::mem::take(&mut self.known().asked)
    }

    pub(crate) fn client(&self) -> Client {
        let router = self.router();
        let service = tower::service_fn(move |request: Request<Body>| {
            let router = router.clone();
            async move {
                let request = request.map(axum::body::Body::new);
                let answer: Response<axum::body::Body> = router.oneshot(request).await?;
                Ok::<_, Infallible>(answer)
            }
        });
        Client::new(service, "steadfast")
    }

    /// The server as routes.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route(&format!("/api/v1/namespaces/{NAMESPACE}/secrets"), get(secrets))
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(review_token))
            .route(
                "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                post(review_access),
            )
            .route(
                "/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews",
                post(review_access_within),
            )
            .with_state(self.clone())
    }

    fn known(&self) -> MutexGuard<'_, Knowledge> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Knowledge {
    fn secret(&self) -> Value {
        let data: BTreeMap<&String, String> = self
            .keys
            .iter()
            .map(|(name, entry)| (name, BASE64_STANDARD.encode(entry)))
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Secret", "data": data,
            "metadata": {"name": SECRET, "namespace": NAMESPACE, "resourceVersion": "2"},
        })
    }
}

/// A list of the Secret, or its changes.
async fn secrets(
    State(server): State<FakeApiServer>,
    Query(query): Query<BTreeMap<String, String>>,
) -> axum::response::Response {
    assert_eq!(query["fieldSelector"], format!("metadata.name={SECRET}"));
    if query.get("watch").is_some_and(|watch| watch == "true") {
        let changes = stream::unfold(server.changes.subscribe(), async |mut changes| {
            let change = changes.recv().await.ok()?;
            Some((Ok::<_, Infallible>(format!("{change}\n")), changes))
        });
        return axum::body::Body::from_stream(changes.boxed()).into_response();
    }
    let secret = server.known().secret();
    let list = json!({
        "apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": "1"}, "items": [secret],
    });
    Json(list).into_response()
}

fn down() -> (StatusCode, Json<Value>) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503});
    (StatusCode::SERVICE_UNAVAILABLE, Json(status))
}

async fn review_token(State(server): State<FakeApiServer>, Json(mut review): Json<Value>) -> (StatusCode, Json<Value>) {
    let known = server.known();
    if known.is_down {
        return down();
    }
    let token = review["spec"]["token"].as_str().unwrap();
    review["status"] = match known.tokens.get(token) {
        None => json!({"authenticated": false, "error": "unknown token"}),
        Some(holder) => json!({
            "authenticated": true,
            "user": {"username": holder.user, "groups": holder.groups},
            "audiences": [holder.audience],
        }),
    };
    (StatusCode::CREATED, Json(review))
}

async fn review_access(State(server): State<FakeApiServer>, Json(review): Json<Value>) -> (StatusCode, Json<Value>) {
    assert_eq!(review["kind"], "SubjectAccessReview");
    let namespace = &review["spec"]["resourceAttributes"]["namespace"];
    assert_eq!(namespace, "", "what is asked about a namespace is asked in it");
    decide(&server, review)
}

async fn review_access_within(
    State(server): State<FakeApiServer>,
    Path(namespace): Path<String>,
    Json(review): Json<Value>,
) -> (StatusCode, Json<Value>) {
    assert_eq!(review["kind"], "LocalSubjectAccessReview");
    // The API server refuses a review that names two.
    assert_eq!(review["metadata"]["namespace"], namespace);
    assert_eq!(review["spec"]["resourceAttributes"]["namespace"], namespace);
    decide(&server, review)
}

fn decide(server: &FakeApiServer, mut review: Value) -> (StatusCode, Json<Value>) {
    let mut known = server.known();
    if known.is_down {
        return down();
    }
    let spec = &review["spec"];
    let attributes = &spec["resourceAttributes"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = match attributes["subresource"].as_str() {
        None => text(&attributes["resource"]),
        Some(subresource) => format!("{}/{subresource}", text(&attributes["resource"])),
    };
    let groups = spec["groups"].as_array().cloned().unwrap_or_default();
    let (verb, namespace) = (text(&attributes["verb"]), text(&attributes["namespace"]));
    let allowed = known.grants.iter().any(|grant| {
        groups.iter().any(|group| group == grant.group)
            && (grant.namespace.is_empty() || grant.namespace == namespace)
            && grant.resource == resource
            && grant.verbs.contains(&verb.as_str())
    });
    let question = Question {
        user: text(&spec["user"]),
        verb,
        resource,
        namespace,
        allowed,
    };
    known.asked.push(question);
    review["status"] = json!({"allowed": allowed});
    (StatusCode::CREATED, Json(review))
}

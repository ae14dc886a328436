//! A Kubernetes API server that answers reviews as a test tells it to.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::http::{Request, Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::{CacheAges, KubernetesAccess};

/// What the API server knows, and what it was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeCluster(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Each is the token of the user of the same name.
    tokens: BTreeSet<&'static str>,
    /// The users who may do everything.
    permitted: BTreeSet<&'static str>,
    is_down: bool,
    token_reviews: usize,
    access_reviews: usize,
}

impl FakeCluster {
    /// A cluster with one user, who may do everything.
    pub(crate) fn with_user(name: &'static str) -> Self {
        let cluster = Self::default();
        cluster.change(|state| {
            state.tokens.insert(name);
            state.permitted.insert(name);
        });
        cluster
    }

    pub(crate) fn revoke_token(&self, name: &'static str) {
        self.change(|state| state.tokens.remove(name));
    }

    pub(crate) fn remove_binding(&self, name: &'static str) {
        self.change(|state| state.permitted.remove(name));
    }

    pub(crate) fn stop_answering(&self) {
        self.change(|state| state.is_down = true);
    }

    pub(crate) fn answer_again(&self) {
        self.change(|state| state.is_down = false);
    }

    /// Token reviews and access reviews until now.
    pub(crate) fn reviews(&self) -> (usize, usize) {
        self.change(|state| (state.token_reviews, state.access_reviews))
    }

    pub(crate) fn access(&self, ages: CacheAges) -> KubernetesAccess {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                let body = request.into_body().collect_bytes().await.unwrap();
                // Others may ask before the answer.
                tokio::task::yield_now().await;
                let (status, answer) = cluster.answer(&serde_json::from_slice(&body).unwrap());
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        KubernetesAccess::with_ages(Client::new(service, "default"), Vec::new(), ages)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn answer(&self, review: &Value) -> (StatusCode, Value) {
        self.change(|state| {
            if state.is_down {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503});
                return (StatusCode::SERVICE_UNAVAILABLE, status);
            }
            let mut answer = review.clone();
            answer["status"] = if review["kind"] == "TokenReview" {
                state.token_reviews += 1;
                let token = review["spec"]["token"].as_str().unwrap();
                json!({"authenticated": state.tokens.contains(token), "user": {"username": token}})
            } else {
                state.access_reviews += 1;
                json!({"allowed": state.permitted.contains(review["spec"]["user"].as_str().unwrap())})
            };
            (StatusCode::CREATED, answer)
        })
    }
}

//! Wakes Agents whose workers the operator has scaled to zero: a message for one sets an annotation on it, which the
//! operator watches. Messages are safe at Temporal before that, and the operator finds them within a minute by itself:
//! so no request waits for this, and one that cannot be sent is not repeated.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use steadfast_crds::{Agent, names::WAKE_ANNOTATION};
use tokio::{sync::Semaphore, time::timeout};

use crate::agents::{AgentEntry, AgentName};

/// The gateway's name for the API server.
const MANAGER: &str = "steadfast-gateway";
/// One write to an Agent in this time, whatever the number of messages: a worker is there within seconds.
const INTERVAL: Duration = Duration::from_secs(5);
/// Writes per second, of all Agents together, and at once after a pause. What is above waits for the operator's next poll.
const WRITES_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
const BURST: NonZeroU32 = NonZeroU32::new(500).unwrap();
/// Writes that are under way.
const CONCURRENCY: usize = 16;
/// Limit for one write.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Wakes Agents. Clones share what they have done.
#[derive(Clone)]
pub struct Waker {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    client: Client,
    writes: DefaultDirectRateLimiter,
    permits: Semaphore,
    /// When each Agent was woken last, of those within the interval.
    recent: Mutex<HashMap<AgentName, Instant>>,
}

impl Waker {
    /// Wakes the Agents of a cluster.
    pub fn of_cluster(client: Client) -> Self {
        let quota = Quota::per_second(WRITES_PER_SECOND).allow_burst(BURST);
        let inner = Inner {
            client,
            writes: RateLimiter::direct(quota),
            permits: Semaphore::new(CONCURRENCY),
            recent: Mutex::default(),
        };
        Self {
            inner: Some(Arc::new(inner)),
        }
    }

    /// Where no operator scales.
    pub const fn none() -> Self {
        Self { inner: None }
    }

    /// Something for this agent is at Temporal. Returns at once.
    pub(crate) fn wake(&self, agent: &AgentEntry) {
        let Some(inner) = self.inner.as_ref().filter(|_| agent.is_asleep) else {
            return;
        };
        if inner.is_due(&agent.name, Instant::now()) {
            tokio::spawn(Arc::clone(inner).write(agent.name.clone()));
        }
    }
}

impl Inner {
    /// Whether the agent was not woken a moment ago, which is then counted as done.
    fn is_due(&self, agent: &AgentName, now: Instant) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.duration_since(*at) < INTERVAL;
        if recent.get(agent).is_some_and(is_recent) || self.writes.check().is_err() {
            return false;
        }
        // Its size is bounded by the rate of writes.
        recent.retain(|_, at| is_recent(at));
        recent.insert(agent.clone(), now);
        true
    }

    async fn write(self: Arc<Self>, agent: AgentName) {
        let Ok(_permit) = self.permits.acquire().await else {
            return;
        };
        let api: Api<Agent> = Api::namespaced(self.client.clone(), &agent.namespace);
        let now = Timestamp::now().to_string();
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { WAKE_ANNOTATION: now } } }));
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match timeout(TIMEOUT, api.patch_metadata(&agent.name, &parameters, &patch)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(
                %agent,
                error = &error as &dyn std::error::Error,
                "cannot wake the workers of the Agent; the operator starts one within a minute"
            ),
            Err(_) => {
                tracing::warn!(%agent, "the API server did not answer in time; the operator starts a worker within a minute");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{Request, Response};
    use kube::client::Body;

    use super::*;

    fn waker() -> Arc<Inner> {
        let service = tower::service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
        let waker = Waker::of_cluster(Client::new(service, "default"));
        waker.inner.unwrap()
    }

    #[tokio::test]
    async fn many_messages_for_one_agent_are_one_write_in_the_interval() {
        let waker = waker();
        let start = Instant::now();
        let (one, other) = (AgentName::new("team", "one"), AgentName::new("team", "other"));
        let due = |agent, after| waker.is_due(agent, start + after);
        assert!(due(&one, Duration::ZERO));
        assert!(!due(&one, Duration::ZERO));
        assert!(due(&other, Duration::ZERO));
        assert!(!due(&one, INTERVAL.checked_sub(Duration::from_millis(1)).unwrap()));
        assert!(due(&one, INTERVAL));
    }

    #[tokio::test]
    async fn only_an_agent_without_workers_is_woken_by_one_patch_of_its_annotation() {
        let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: Request<Body>| {
            let sender = sender.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let patch: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let _ = sender.send((head.method.to_string(), head.uri.to_string(), patch));
                Ok::<_, Infallible>(Response::new(Body::from(b"{}".to_vec())))
            }
        });
        let waker = Waker::of_cluster(Client::new(service, "default"));
        let agent = |name: &str, reason: &str| {
            let workers = json!({ "type": "WorkersAvailable", "status": "True", "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z" });
            let agent = json!({ "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
                "metadata": { "name": name, "namespace": "team" }, "spec": {}, "status": { "conditions": [workers] } });
            let agent = serde_json::from_str(&agent.to_string()).unwrap();
            AgentEntry::of_agent(&crate::agents::Naming::default(), &agent).unwrap()
        };
        waker.wake(&agent("awake", "Available"));
        for _ in 0..3 {
            waker.wake(&agent("asleep", "ScaledToZero"));
        }
        waker.wake(&agent("last", "ScaledToZero"));
        let mut woken = Vec::new();
        for _ in 0..2 {
            let (method, uri, patch) = requests.recv().await.unwrap();
            assert_eq!(method, "PATCH");
            let at = patch["metadata"]["annotations"]["steadfast.dev/wake"].as_str().unwrap();
            assert!(at.parse::<Timestamp>().is_ok(), "{at}");
            assert_eq!(
                patch,
                json!({ "metadata": { "annotations": { "steadfast.dev/wake": at } } })
            );
            woken.push(uri);
        }
        woken.sort();
        let path =
            |agent| format!("/apis/steadfast.dev/v1alpha1/namespaces/team/agents/{agent}?&fieldManager={MANAGER}");
        assert_eq!(woken, [path("asleep"), path("last")]);
        assert!(requests.try_recv().is_err());
    }

    #[tokio::test]
    async fn messages_for_very_many_agents_are_no_flood_of_writes() {
        let waker = waker();
        let now = Instant::now();
        let due = (0..2_000).filter(|number| waker.is_due(&AgentName::new("team", number.to_string()), now));
        let due = due.count();
        assert!((500..1_000).contains(&due), "{due}");
        assert_eq!(waker.recent.lock().unwrap().len(), due);
    }
}

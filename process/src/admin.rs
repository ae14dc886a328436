//! The admin server: `/livez`, `/readyz` and `/metrics` on a port of its own,
//! never on the one that takes traffic. The caller binds the port and owns
//! the future that ends it.

use std::collections::BTreeMap;
use std::io;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;

use crate::{Liveness, Readiness};

/// Serves probes and metrics of one process.
#[derive(Clone, Debug)]
pub struct AdminServer {
    readiness: Readiness,
    liveness: Liveness,
    registry: Registry,
    more: Router,
}

impl AdminServer {
    /// `registry` holds every metric of the process.
    pub fn new(readiness: Readiness, registry: Registry) -> Self {
        Self {
            readiness,
            liveness: Liveness::default(),
            registry,
            more: Router::new(),
        }
    }

    /// Answers `path` with a report as JSON, made anew for each request.
    #[must_use]
    pub fn with_report<R: serde::Serialize + 'static>(
        mut self,
        path: &str,
        report: impl Fn() -> R + Clone + Send + Sync + 'static,
    ) -> Self {
        self.more = self.more.route(path, get(async move || Json(report())));
        self
    }

    /// Makes `/livez` depend on the progress of these parts.
    #[must_use]
    pub fn with_liveness(mut self, liveness: Liveness) -> Self {
        self.liveness = liveness;
        self
    }

    /// The routes alone, for a caller that has a server already.
    pub fn router(self) -> Router {
        let more = self.more.clone();
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
            .merge(more)
    }

    /// Serves until `shutdown` resolves. Keep it running while the program
    /// drains: the kubelet still asks.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown)
            .await
    }
}

/// Does not depend on other programs: a restart must be able to help.
async fn livez(State(server): State<AdminServer>) -> (StatusCode, String) {
    let stuck = server.liveness.stuck();
    if stuck.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let stuck = stuck.join(", ");
    tracing::error!(stuck, "no progress: the liveness probe fails");
    (StatusCode::SERVICE_UNAVAILABLE, format!("no progress: {stuck}\n"))
}

#[derive(serde::Serialize)]
struct ReadinessReport {
    ready: bool,
    checks: BTreeMap<&'static str, bool>,
}

async fn readyz(State(server): State<AdminServer>) -> (StatusCode, Json<ReadinessReport>) {
    let checks = server.readiness.snapshot();
    let ready = checks.values().all(|ready| *ready);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(ReadinessReport { ready, checks }))
}

async fn metrics(State(server): State<AdminServer>) -> Response {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&server.registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode metrics");
            (StatusCode::INTERNAL_SERVER_ERROR, "cannot encode metrics\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use prometheus::IntCounter;
    use tower::ServiceExt;

    use super::*;

    async fn get(server: &AdminServer, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = server.clone().router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_is_503_and_names_every_check_until_all_are_true() {
        let readiness = Readiness::new();
        let temporal = readiness.register("temporal");
        readiness.register("redis").set(true);
        let server = AdminServer::new(readiness, Registry::new());
        let waiting = r#"{"ready":false,"checks":{"redis":true,"temporal":false}}"#;
        assert_eq!(
            get(&server, "/readyz").await,
            (StatusCode::SERVICE_UNAVAILABLE, waiting.to_owned())
        );
        temporal.set(true);
        let ready = r#"{"ready":true,"checks":{"redis":true,"temporal":true}}"#;
        assert_eq!(get(&server, "/readyz").await, (StatusCode::OK, ready.to_owned()));
    }

    #[tokio::test]
    async fn a_report_is_made_for_each_request() {
        let server = AdminServer::new(Readiness::new(), Registry::new()).with_report("/numbers", || vec![1, 2]);
        assert_eq!(get(&server, "/numbers").await, (StatusCode::OK, "[1,2]".to_owned()));
    }

    #[tokio::test]
    async fn livez_does_not_depend_on_readiness() {
        let readiness = Readiness::new();
        let _never = readiness.register("temporal");
        let server = AdminServer::new(readiness, Registry::new());
        assert_eq!(get(&server, "/livez").await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn livez_is_503_and_names_the_part_that_makes_no_progress() {
        let liveness = Liveness::with_limit(std::time::Duration::ZERO);
        let server = AdminServer::new(Readiness::new(), Registry::new()).with_liveness(liveness.clone());
        let heartbeat = liveness.register("the controller of Agents");
        let stuck = "no progress: the controller of Agents\n".to_owned();
        assert_eq!(get(&server, "/livez").await, (StatusCode::SERVICE_UNAVAILABLE, stuck));
        drop(heartbeat);
        assert_eq!(get(&server, "/livez").await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text_of_the_given_registry() {
        let registry = Registry::new();
        let calls = IntCounter::new("steadfast_calls_total", "Calls made.").unwrap();
        registry.register(Box::new(calls.clone())).unwrap();
        calls.inc();
        let server = AdminServer::new(Readiness::new(), registry);
        let expected = "# HELP steadfast_calls_total Calls made.\n\
                        # TYPE steadfast_calls_total counter\n\
                        steadfast_calls_total 1\n";
        assert_eq!(get(&server, "/metrics").await, (StatusCode::OK, expected.to_owned()));
    }
}

//! Probes; they need no token.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use crate::{app::Gateway, error::ErrorBody, load::Probe};

/// Responds as long as the process runs.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "health",
    security(()),
    responses(
        (status = OK, description = "The process runs.", body = Object),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Whether Temporal and Redis answer now.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "health",
    security(()),
    responses(
        (status = OK, description = "Temporal and Redis answer.", body = Object),
        (status = SERVICE_UNAVAILABLE, description = "Temporal or Redis does not answer.", body = Object),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn readyz(State(gateway): State<Arc<Gateway>>) -> (StatusCode, Json<Value>) {
    let probe = gateway.load.probe(async {
        let (temporal, redis) = tokio::join!(gateway.temporal.check(), gateway.log.ping());
        Probe {
            temporal: temporal.err().map(|error| error.to_string()),
            redis: redis.err().map(|error| error.to_string()),
        }
    });
    let Probe { temporal, redis } = probe.await;
    let ready = temporal.is_none() && redis.is_none();
    let check = |error: Option<String>| json!({ "healthy": error.is_none(), "error": error });
    let body = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "checks": {
            "temporal": check(temporal),
            "redis": check(redis),
        },
    });
    (
        if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        Json(body),
    )
}

//! The routes that need no token: probes and the OpenAPI document.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use crate::app::Gateway;

/// Responds as long as the process runs.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Whether Temporal and Redis answer now.
pub(super) async fn readyz(State(gateway): State<Arc<Gateway>>) -> (StatusCode, Json<Value>) {
    let (temporal, redis) = tokio::join!(gateway.temporal.check(), gateway.log.ping());
    let ready = temporal.is_ok() && redis.is_ok();
    let check = |error: Option<String>| json!({ "healthy": error.is_none(), "error": error });
    let body = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "checks": {
            "temporal": check(temporal.err().map(|error| error.to_string())),
            "redis": check(redis.err().map(|error| error.to_string())),
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

/// The version, where Agentex's own tools look for it, and what is not Agentex's.
pub(super) async fn openapi() -> Json<Value> {
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Steadfast", "version": env!("CARGO_PKG_VERSION") },
        "paths": super::approvals::openapi(),
        "components": { "schemas": super::approvals::openapi_schemas() },
    }))
}

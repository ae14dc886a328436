//! What anyone may ask without a token.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use crate::gateway::Gateway;

/// Answers as long as the process can.
pub async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Whether everything a request may need answers now.
pub async fn readyz(State(gateway): State<Arc<Gateway>>) -> (StatusCode, Json<Value>) {
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
pub async fn openapi() -> Json<Value> {
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Steadfast", "version": env!("CARGO_PKG_VERSION") },
        "paths": super::approvals::openapi(),
        "components": { "schemas": super::approvals::openapi_schemas() },
    }))
}

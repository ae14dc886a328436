//! What the contestants call besides the model: the tool of our builds, and the parts of Agentex's backend that its
//! worker needs. Both answer at once and keep nothing.

use axum::{
    Json, Router,
    extract::Path,
    routing::{get, patch, post, put},
};
use serde_json::{Value, json};

use crate::bench::{local_server::LocalServer, random::Random};

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz ";
/// The ids that Agentex's server gives messages have 24 digits.
const MESSAGE_ID: &str = "0123456789abcdef01234567";
const TIME: &str = "2026-01-01T00:00:00Z";

/// Starts the server.
pub(super) fn start() -> anyhow::Result<LocalServer> {
    let app = Router::new()
        .route("/look_up", post(look_up))
        .route(
            "/openapi.json",
            get(async || Json(json!({"info": {"version": "0.28.4"}}))),
        )
        .route("/agents/register", post(register))
        .route("/messages", post(create_message))
        .route("/messages/{id}", put(update_message))
        .route("/spans", post(echo))
        .route("/spans/{id}", patch(echo_with_id));
    LocalServer::start("side server", app)
}

/// A text of the size that the call asks for.
async fn look_up(Json(call): Json<Value>) -> Json<Value> {
    let seed = call["of"].as_str().unwrap_or_default().bytes();
    let seed = seed.fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut random = Random::new(seed);
    let size = call["size"].as_u64().unwrap_or_default();
    let letters: Vec<&str> = LETTERS.split_inclusive(|_: char| true).collect();
    let text: String = (0..size).map(|_| random.choose(&letters)).collect();
    Json(json!({"text": text}))
}

async fn register(Json(mut agent): Json<Value>) -> Json<Value> {
    for (name, value) in [
        ("id", "peer"),
        ("agent_api_key", "unused"),
        ("created_at", TIME),
        ("updated_at", TIME),
    ] {
        agent[name] = value.into();
    }
    Json(agent)
}

async fn create_message(Json(mut message): Json<Value>) -> Json<Value> {
    message["id"] = MESSAGE_ID.into();
    message["created_at"] = TIME.into();
    Json(message)
}

async fn update_message(Path(id): Path<String>, Json(mut message): Json<Value>) -> Json<Value> {
    message["id"] = id.into();
    message["created_at"] = TIME.into();
    Json(message)
}

async fn echo(Json(body): Json<Value>) -> Json<Value> {
    Json(body)
}

async fn echo_with_id(Path(id): Path<String>, Json(mut span): Json<Value>) -> Json<Value> {
    span["id"] = id.into();
    for (name, value) in [("name", "span"), ("trace_id", "trace"), ("start_time", TIME)] {
        if span[name].is_null() {
            span[name] = value.into();
        }
    }
    Json(span)
}

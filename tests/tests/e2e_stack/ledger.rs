//! A ledger that records every effect and rejects nothing.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::State, routing::post};
use serde_json::Value;
use steadfast_platform::scripted_model::Gate;
use tokio::net::TcpListener;

#[derive(Clone)]
pub struct Ledger {
    effects: Arc<Mutex<Vec<Value>>>,
    /// Where answers wait.
    gate: Option<Gate>,
    pub url: String,
}

impl Ledger {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Every answer waits at the gate; its effect is recorded before.
    pub async fn held_at(gate: &Gate) -> Self {
        Self::start_with(Some(gate.clone())).await
    }

    async fn start_with(gate: Option<Gate>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let ledger = Self {
            effects: Arc::default(),
            gate,
            url,
        };
        let app = Router::new().route("/", post(record)).with_state(ledger.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        ledger
    }

    /// `what amount` of each effect, in the order they came.
    pub fn effects(&self) -> Vec<String> {
        let effects = self.effects.lock().unwrap();
        let line = |effect: &Value| format!("{} {}", effect["what"].as_str().unwrap(), effect["amount"]);
        effects.iter().map(line).collect()
    }

    /// The idempotency keys, in the order they came.
    pub fn keys(&self) -> Vec<String> {
        let effects = self.effects.lock().unwrap();
        effects
            .iter()
            .map(|effect| effect["key"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn record(State(ledger): State<Ledger>, axum::Json(effect): axum::Json<Value>) {
    ledger.effects.lock().unwrap().push(effect);
    if let Some(gate) = &ledger.gate {
        gate.pass().await;
    }
}

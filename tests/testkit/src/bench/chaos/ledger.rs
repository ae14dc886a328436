//! A ledger that counts effects, and knows nothing of its clients: the effect of a key happens once, and each delivery
//! is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::{Value, json};

use crate::bench::local_server::LocalServer;

/// The keys and deliveries by the call that asked.
#[derive(Debug, Default)]
pub(super) struct Entries {
    keys_by_call: BTreeMap<String, BTreeSet<String>>,
    pub(super) deliveries: usize,
}

impl Entries {
    fn record(&mut self, call: &str, key: &str) {
        self.deliveries += 1;
        self.keys_by_call
            .entry(call.to_owned())
            .or_default()
            .insert(key.to_owned());
    }

    /// Calls that had an effect.
    pub(super) fn calls(&self) -> usize {
        self.keys_by_call.len()
    }

    /// Effects beyond the first of each call: a second key of a call is a second effect.
    pub(super) fn duplicates(&self) -> usize {
        self.keys_by_call.values().map(|keys| keys.len() - 1).sum()
    }
}

/// The ledger's server. It ends when the value is dropped.
#[derive(Debug)]
pub(super) struct Ledger {
    server: LocalServer,
    entries: Arc<Mutex<Entries>>,
}

impl Ledger {
    pub(super) fn start() -> anyhow::Result<Self> {
        let entries = Arc::new(Mutex::new(Entries::default()));
        let app = Router::new()
            .route("/effects", post(record))
            .with_state(entries.clone());
        Ok(Self {
            server: LocalServer::start("ledger", app)?,
            entries,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("{}/effects", self.server.url())
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn record(
    State(entries): State<Arc<Mutex<Entries>>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let (Some(key), Some(call)) = (key, body["of"].as_str()) else {
        let error = json!({"error": "an effect needs an Idempotency-Key and the member `of`"});
        return (StatusCode::BAD_REQUEST, Json(error));
    };
    entries.lock().unwrap_or_else(PoisonError::into_inner).record(call, key);
    (StatusCode::OK, Json(json!({"done": call})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_one_effect_and_a_second_key_of_a_call_is_a_duplicate() {
        let mut entries = Entries::default();
        for (call, key) in [("a", "1"), ("a", "1"), ("b", "2"), ("b", "3")] {
            entries.record(call, key);
        }
        assert_eq!((entries.calls(), entries.deliveries, entries.duplicates()), (2, 4, 1));
    }
}

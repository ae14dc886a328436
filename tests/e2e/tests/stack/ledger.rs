//! A ledger that records every effect and rejects none. It runs as a process of its
//! own and knows nothing of its clients.

use anyhow::ensure;
use serde_json::Value;
use steadfast_e2e::backend::stack::python;
use steadfast_testkit::{
    stack::{Client, PythonServer, TIMEOUT},
    wait,
};

pub(crate) struct Ledger {
    client: Client,
    server: PythonServer,
}

impl Ledger {
    pub(crate) async fn start() -> Self {
        let server = PythonServer::start(&python("ledger.py")).await.unwrap();
        let client = Client::new(server.url()).unwrap();
        Self { client, server }
    }

    /// A ledger whose responses wait for `release`. Effects are recorded before.
    pub(crate) async fn held() -> Self {
        let ledger = Self::start().await;
        ledger.command("/hold").await;
        ledger
    }

    pub(crate) async fn release(&self) {
        self.command("/release").await;
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/", self.server.url())
    }

    /// Waits until this many effects are recorded.
    pub(crate) async fn until_recorded(&self, count: usize) {
        wait::until(format!("{count} effects"), TIMEOUT, async || {
            let recorded = self.recorded().await.len();
            ensure!(recorded == count, "there are {recorded}");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// `<what> <amount>` of each effect, in the order of arrival.
    pub(crate) async fn effects(&self) -> Vec<String> {
        let line = |effect: &Value| format!("{} {}", effect["what"].as_str().unwrap(), effect["amount"]);
        self.recorded().await.iter().map(line).collect()
    }

    /// The idempotency keys, in the order of arrival.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let key = |effect: &Value| effect["key"].as_str().unwrap().to_owned();
        self.recorded().await.iter().map(key).collect()
    }

    async fn recorded(&self) -> Vec<Value> {
        let effects = self.client.get("/effects").await.unwrap().success().unwrap();
        serde_json::from_value(effects).unwrap()
    }

    async fn command(&self, path: &str) {
        self.client.post(path, "").await.unwrap().success().unwrap();
    }
}

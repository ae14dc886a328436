//! A plain HTTP client of the gateway that judges nothing.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::Task;
use crate::http_client;

/// No answer takes longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Talks to one gateway.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// Status and body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Null when the body is no JSON.
    pub body: Value,
}

impl Client {
    /// Without a token.
    pub fn new(url: String) -> anyhow::Result<Self> {
        Self::with_headers(url, HeaderMap::new())
    }

    /// As the user that the bearer token stands for.
    pub fn with_token(url: String, token: &str) -> anyhow::Result<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).context("put the token into a header")?;
        value.set_sensitive(true);
        Self::with_headers(url, HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    /// Without a token, as a part of a trace: each request carries this header `traceparent`.
    pub fn in_trace(url: String, traceparent: &str) -> anyhow::Result<Self> {
        let value = HeaderValue::try_from(traceparent).context("put the trace into a header")?;
        let name = HeaderName::from_static("traceparent");
        Self::with_headers(url, HeaderMap::from_iter([(name, value)]))
    }

    fn with_headers(url: String, headers: HeaderMap) -> anyhow::Result<Self> {
        http_client::install_tls_provider();
        let http = reqwest::Client::builder()
            .no_proxy()
            .default_headers(headers)
            .build()
            .context("build an HTTP client")?;
        Ok(Self { http, url })
    }

    /// Begins a conversation with an agent.
    pub async fn task(&self, agent: &str) -> anyhow::Result<Task> {
        Task::create(self.clone(), agent, json!({}))
            .await
            .with_context(|| format!("create a task of agent {agent:?}"))
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(self.http.get(format!("{}{path}", self.url))).await
    }

    /// Posts a body as it is, JSON or not.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> anyhow::Result<Answer> {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json");
        self.send(request.body(body)).await
    }

    /// Calls a JSON-RPC method of an agent.
    pub async fn rpc(
        &self,
        agent: &str,
        method: &str,
        params: Value,
        idempotency_key: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut request = self
            .http
            .post(format!("{}/agents/name/{agent}/rpc", self.url))
            .json(&body);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.send(request).await
    }

    /// Opens a task's stream of our own events, after the given entry if any.
    pub(super) async fn open_stream(&self, task_id: &str, after: Option<&str>) -> anyhow::Result<Response> {
        let mut request = self
            .http
            .get(format!("{}/tasks/{task_id}/stream?format=events", self.url))
            .header("accept", "text/event-stream");
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.context("open a stream")?;
        if !response.status().is_success() {
            let status = response.status();
            bail!(
                "the stream was refused ({status}): {}",
                response.text().await.unwrap_or_default()
            );
        }
        Ok(response)
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let response = request.timeout(TIMEOUT).send().await.context("call the gateway")?;
        let status = response.status().as_u16();
        let text = response.text().await.context("read the gateway's answer")?;
        Ok(Answer {
            status,
            body: serde_json::from_str(&text).unwrap_or_default(),
        })
    }
}

impl Answer {
    /// The body of a success.
    pub fn ok(self) -> anyhow::Result<Value> {
        if self.status != 200 {
            bail!("the gateway answered {}: {}", self.status, self.body);
        }
        Ok(self.body)
    }

    /// The result of a JSON-RPC call that succeeded.
    pub fn result(self) -> anyhow::Result<Value> {
        let body = self.ok()?;
        if !body["error"].is_null() || body["result"].is_null() {
            bail!("the call failed: {body}");
        }
        Ok(body["result"].clone())
    }
}

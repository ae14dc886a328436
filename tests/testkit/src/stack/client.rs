//! An HTTP client of the gateway. It reports every response and judges none.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::TIMEOUT;
use crate::http_client;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The format of a task's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFormat {
    /// The events of the task's log.
    Events,
    /// The frames of the Agentex protocol.
    Agentex,
}

/// A client of one gateway.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// The status and body of a response.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayResponse {
    pub status: u16,
    /// Null if the body is not JSON.
    pub body: Value,
}

impl Client {
    /// Without a token.
    pub fn new(url: String) -> anyhow::Result<Self> {
        Self::with_headers(url, HeaderMap::new())
    }

    /// With a bearer token.
    pub fn with_token(url: String, token: &str) -> anyhow::Result<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).context("put the token into a header")?;
        value.set_sensitive(true);
        Self::with_headers(url, HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    /// Without a token; each request carries this header `traceparent`.
    pub fn with_traceparent(url: String, traceparent: &str) -> anyhow::Result<Self> {
        let value = HeaderValue::try_from(traceparent).context("put the traceparent into a header")?;
        let name = HeaderName::from_static("traceparent");
        Self::with_headers(url, HeaderMap::from_iter([(name, value)]))
    }

    /// Without a token; over TLS, with a certificate of this authority, in PEM.
    pub fn trusting(url: String, authority: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(authority).with_context(|| format!("read {}", authority.display()))?;
        let certificate = reqwest::Certificate::from_pem(&pem).context("read the certificate of the authority")?;
        let builder = builder(HeaderMap::new()).tls_certs_only([certificate]);
        let http = builder.build().context("build an HTTP client")?;
        Ok(Self { http, url })
    }

    fn with_headers(url: String, headers: HeaderMap) -> anyhow::Result<Self> {
        let http = builder(headers).build().context("build an HTTP client")?;
        Ok(Self { http, url })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<GatewayResponse> {
        self.send(self.http.get(format!("{}{path}", self.url))).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<GatewayResponse> {
        self.send(self.http.delete(format!("{}{path}", self.url))).await
    }

    /// Posts a body unchanged, JSON or not.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> anyhow::Result<GatewayResponse> {
        self.post_as("application/json", path, body).await
    }

    /// The same with another content type.
    pub async fn post_as(
        &self,
        content_type: &str,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> anyhow::Result<GatewayResponse> {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("content-type", content_type);
        self.send(request.body(body)).await
    }

    /// Calls a JSON-RPC method of an agent.
    pub async fn rpc(
        &self,
        agent: &str,
        method: &str,
        params: Value,
        idempotency_key: Option<&str>,
    ) -> anyhow::Result<GatewayResponse> {
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

    /// Opens the stream of a task, after the entry with this id if there is one. Comes again where the gateway says that
    /// a service does not answer now, as every client is told to.
    pub(super) async fn open_stream(
        &self,
        task_id: &str,
        format: StreamFormat,
        after: Option<&str>,
    ) -> anyhow::Result<Response> {
        let response = crate::wait::until("the services of the stream", TIMEOUT, async || {
            let response = self.request_stream(task_id, format, after).await?;
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                bail!("the gateway says: {}", response.text().await.unwrap_or_default());
            }
            Ok(response)
        });
        let response = response.await?;
        if !response.status().is_success() {
            let status = response.status();
            bail!(
                "the gateway refused the stream ({status}): {}",
                response.text().await.unwrap_or_default()
            );
        }
        Ok(response)
    }

    async fn request_stream(
        &self,
        task_id: &str,
        format: StreamFormat,
        after: Option<&str>,
    ) -> anyhow::Result<Response> {
        let query = match format {
            StreamFormat::Events => "?format=events",
            StreamFormat::Agentex => "",
        };
        let mut request = self
            .http
            .get(format!("{}/tasks/{task_id}/stream{query}", self.url))
            .header("accept", "text/event-stream");
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        request.send().await.context("open a stream")
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<GatewayResponse> {
        let response = request
            .timeout(REQUEST_TIMEOUT)
            .send()
            .await
            .context("call the gateway")?;
        let status = response.status().as_u16();
        let text = response.text().await.context("read the gateway's response")?;
        Ok(GatewayResponse {
            status,
            body: serde_json::from_str(&text).unwrap_or_default(),
        })
    }
}

fn builder(headers: HeaderMap) -> reqwest::ClientBuilder {
    http_client::install_tls_provider();
    reqwest::Client::builder().no_proxy().default_headers(headers)
}

impl GatewayResponse {
    /// The body; an error unless the status is 2xx.
    pub fn success(self) -> anyhow::Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("the gateway returned {}: {}", self.status, self.body);
        }
        Ok(self.body)
    }

    /// The result of a JSON-RPC call; an error if the call failed.
    pub fn rpc_result(self) -> anyhow::Result<Value> {
        let body = self.success()?;
        if !body["error"].is_null() || body["result"].is_null() {
            bail!("the call failed: {body}");
        }
        Ok(body["result"].clone())
    }
}

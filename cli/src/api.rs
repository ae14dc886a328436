//! A client of the gateway's API: creates tasks, sends messages, decides
//! approvals and follows events. Every request may be repeated: a message has an
//! idempotency key, so a message that is sent again after a broken connection is
//! accepted once.

mod agents;
mod approvals;
mod sse;
mod stream;
mod tasks;
#[cfg(test)]
mod test_server;

use std::time::Duration;

use anyhow::{Context as _, bail};
use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use url::Url;

pub(crate) use approvals::{Action, DecisionOutcome, DecisionRequest, Filter, PendingApproval};
pub(crate) use stream::{StreamItem, follow_task};
pub(crate) use tasks::{Task, TaskAction, TaskFilter};

/// Retries of a request before it has failed.
const RETRIES: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Characters of a response body that are quoted when it is not the gateway's JSON.
const MAX_QUOTED_CHARACTERS: usize = 200;

/// The gateway's address and the caller's token.
#[derive(Clone, Debug)]
pub(crate) struct GatewayClient {
    http: reqwest::Client,
    server: Url,
    token: Option<String>,
}

/// An attempt that may be repeated.
enum AttemptError {
    /// The gateway, or a service behind it, is not available for the moment.
    Unavailable(Response),
    NoResponse(reqwest::Error),
}

#[derive(Deserialize)]
struct RpcResponse {
    result: Option<RpcResult>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcResult {
    id: String,
}

#[derive(Deserialize)]
struct RpcError {
    message: String,
}

impl GatewayClient {
    pub(crate) fn new(server: Url, token: Option<String>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("steadfast-cli/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // The token is sent to the named server only, not to where that server redirects.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("set up the HTTP client")?;
        Ok(Self { http, server, token })
    }

    /// Creates a task of `agent` and returns its id.
    pub(crate) async fn create_task(&self, agent: &str) -> anyhow::Result<String> {
        let key = uuid::Uuid::new_v4().to_string();
        self.call(agent, "task/create", &json!({}), &key).await
    }

    /// Sends a text to a task. A second request with the same `key` changes nothing.
    pub(crate) async fn send_text(&self, agent: &str, task_id: &str, key: &str, text: &str) -> anyhow::Result<()> {
        let content = json!({"type": "text", "author": "user", "content": text});
        let params = json!({"task_id": task_id, "content": content});
        self.call(agent, "event/send", &params, key).await.map(|_| ())
    }

    /// Calls a JSON-RPC method and returns the `id` of its result.
    async fn call(&self, agent: &str, method: &str, params: &Value, idempotency_key: &str) -> anyhow::Result<String> {
        let url = self.url(&["agents", "name", agent, "rpc"])?;
        let body = json!({"jsonrpc": "2.0", "id": idempotency_key, "method": method, "params": params});
        let request = || {
            self.authorize(self.http.post(url.clone()))
                .header("Idempotency-Key", idempotency_key)
                .json(&body)
        };
        let response = require_success(&self.server, self.send_with_retries(request).await?).await?;
        let response: RpcResponse = response
            .json()
            .await
            .with_context(|| format!("read the response to {method}"))?;
        match response {
            RpcResponse { error: Some(error), .. } => bail!("{}", error.message),
            RpcResponse {
                result: Some(result), ..
            } => Ok(result.id),
            RpcResponse { .. } => bail!("the response to {method} has neither a result nor an error"),
        }
    }

    /// The entries of all pages of a list, or the first ones if there are more than `limit`.
    async fn list_pages<T: DeserializeOwned>(
        &self,
        list: &str,
        filter: &[(&str, &str)],
        page_size: usize,
        limit: usize,
    ) -> anyhow::Result<Vec<T>> {
        let page_size = page_size.min(limit).max(1);
        let mut all: Vec<T> = Vec::new();
        for page in 1_usize.. {
            let mut url = self.url(&[list])?;
            url.query_pairs_mut()
                .append_pair("limit", &page_size.to_string())
                .append_pair("page_number", &page.to_string())
                .extend_pairs(filter);
            let response = self
                .send_with_retries(|| self.authorize(self.http.get(url.clone())))
                .await?;
            let listed: Vec<T> = require_success(&self.server, response)
                .await?
                .json()
                .await
                .with_context(|| format!("read the list of {list}"))?;
            let is_last = listed.len() < page_size;
            all.extend(listed);
            if is_last || all.len() >= limit {
                break;
            }
        }
        all.truncate(limit);
        Ok(all)
    }

    /// Sends a request again, with back-off, while the gateway cannot be reached or is not available.
    async fn send_with_retries(&self, request: impl Fn() -> RequestBuilder) -> anyhow::Result<Response> {
        let attempt = || {
            let sent = request().timeout(REQUEST_TIMEOUT).send();
            async move {
                let response = sent.await.map_err(AttemptError::NoResponse)?;
                if is_transient(response.status()) {
                    Err(AttemptError::Unavailable(response))
                } else {
                    Ok(response)
                }
            }
        };
        let backoff = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_times(RETRIES);
        match attempt.retry(backoff).await {
            Ok(response) | Err(AttemptError::Unavailable(response)) => Ok(response),
            Err(AttemptError::NoResponse(error)) => {
                Err(error).with_context(|| format!("cannot reach the gateway at {}", self.server))
            }
        }
    }

    fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn url(&self, path: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.server.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(path),
            Err(()) => bail!(
                "{} is not the URL of a server: use a URL like https://steadfast.example.com",
                self.server
            ),
        };
        Ok(url)
    }
}

/// Whether the same request may succeed later.
fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 502..=504)
}

/// The response, if its status is a success; otherwise an error that says what to do.
async fn require_success(server: &Url, response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.text().await.unwrap_or_default();
    bail!("{}", explain_status(server, status, &body))
}

/// The gateway's message in the body of an error response.
fn error_message(body: &str) -> String {
    serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|body| Some(body.get("message").or_else(|| body.get("detail"))?.as_str()?.to_owned()))
        .unwrap_or_else(|| body.chars().take(MAX_QUOTED_CHARACTERS).collect())
}

/// What an error status means and what the user can do about it.
fn explain_status(server: &Url, status: StatusCode, body: &str) -> String {
    let message = error_message(body);
    let advice = match status.as_u16() {
        401 => "log in: pass --token, or use a kubeconfig with a token (`kubectl auth whoami` shows who you are)",
        403 | 404 => {
            "check the names with `kubectl get agents`; if they are right, you have no access: \
             bind the ClusterRole steadfast-user to your user in the namespace of the Agent"
        }
        410 => "the conversation is older than the retention period of Temporal and cannot be shown",
        502..=504 => "a service that the gateway needs is not available; try again later",
        _ => return format!("the gateway at {server} answered {status}: {message}"),
    };
    format!("the gateway at {server} answered {status}: {message}\n{advice}")
}

#[cfg(test)]
mod tests {
    use super::test_server::{client, next_request, respond};
    use super::*;

    #[test]
    fn the_path_of_the_server_is_kept() {
        // The client uses the TLS provider of the process, which `main` installs.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = |server: &str| GatewayClient::new(server.parse().unwrap(), None).unwrap();
        let url = |server| {
            client(server)
                .url(&["agents", "name", "a.b", "rpc"])
                .unwrap()
                .to_string()
        };
        assert_eq!(url("http://h:1"), "http://h:1/agents/name/a.b/rpc");
        assert_eq!(url("http://h:1/base/"), "http://h:1/base/agents/name/a.b/rpc");
    }

    #[test]
    fn an_error_response_is_explained() {
        let server: Url = "http://gateway".parse().unwrap();
        let text = explain_status(
            &server,
            StatusCode::NOT_FOUND,
            r#"{"message":"no agent \"x\"","code":404,"data":null}"#,
        );
        let expected = "the gateway at http://gateway/ answered 404 Not Found: no agent \"x\"\n\
            check the names with `kubectl get agents`; if they are right, you have no access: \
            bind the ClusterRole steadfast-user to your user in the namespace of the Agent";
        assert_eq!(text, expected);
    }

    #[tokio::test]
    async fn a_request_is_repeated_with_the_same_key_while_the_gateway_is_unavailable() {
        let (client, listener) = client().await;
        let sent = tokio::spawn(async move { client.send_text("a.b", "task-1", "message-1", "Hello.").await });
        let mut requests = Vec::new();
        for (status, body) in [
            ("503 Service Unavailable", "{}"),
            ("200 OK", r#"{"result":{"id":"message-1"}}"#),
        ] {
            let (head, mut connection) = next_request(&listener).await;
            respond(&mut connection, status, body).await;
            requests.push(head);
        }
        sent.await.unwrap().unwrap();
        for head in requests {
            assert!(head.starts_with("post /agents/name/a.b/rpc http/1.1"), "{head}");
            assert!(head.contains("idempotency-key: message-1\r\n"), "{head}");
        }
    }
}

//! Calls the gateway: creates tasks, sends messages, decides approvals. Every call may be
//! repeated: a message carries an idempotency key, so that sending it again
//! after a broken connection changes nothing.

mod approvals;
mod stream;

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

pub use approvals::{Listed, Outcome, Ruling, Verdict, Wanted};
pub use stream::{Item, stream_task};

/// How often a call is made before it counts as failed.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// A gateway, and who we are to it.
#[derive(Clone, Debug)]
pub struct Gateway {
    http: reqwest::Client,
    server: Url,
    token: Option<String>,
}

#[derive(Deserialize)]
struct RpcAnswer {
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

impl Gateway {
    pub fn new(server: Url, token: Option<String>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("steadfast-cli/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            // Credentials go to the server that was named, and nowhere it points to.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("set up the HTTP client")?;
        Ok(Self { http, server, token })
    }

    /// Creates a task of `agent` and returns its id.
    pub async fn create_task(&self, agent: &str) -> anyhow::Result<String> {
        let key = uuid::Uuid::new_v4().to_string();
        self.call(agent, "task/create", &json!({}), &key).await
    }

    /// Sends a text to a task; `message_id` makes sending it twice harmless.
    pub async fn send_text(&self, agent: &str, task_id: &str, message_id: &str, text: &str) -> anyhow::Result<()> {
        let content = json!({"type": "text", "author": "user", "content": text});
        let params = json!({"task_id": task_id, "content": content});
        self.call(agent, "event/send", &params, message_id).await.map(|_| ())
    }

    /// Returns the `id` of the result, which is all we need of any of them.
    async fn call(&self, agent: &str, method: &str, params: &Value, idempotency_key: &str) -> anyhow::Result<String> {
        let url = self.url(&["agents", "name", agent, "rpc"])?;
        let body = json!({"jsonrpc": "2.0", "id": idempotency_key, "method": method, "params": params});
        let request = || {
            self.authorized(self.http.post(url.clone()))
                .header("Idempotency-Key", idempotency_key)
                .json(&body)
        };
        let response = self.send_repeatedly(request).await?;
        self.read_answer(method, response).await
    }

    /// Sends a request that may be repeated until the gateway is there to answer it.
    async fn send_repeatedly(&self, request: impl Fn() -> RequestBuilder) -> anyhow::Result<Response> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match request().timeout(LONGEST_ANSWER).send().await {
                Ok(response) if !is_transient(response.status()) => return Ok(response),
                _ => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        request()
            .timeout(LONGEST_ANSWER)
            .send()
            .await
            .with_context(|| self.unreachable())
    }

    async fn read_answer(&self, method: &str, response: Response) -> anyhow::Result<String> {
        let response = self.accepted(response).await?;
        let answer: RpcAnswer = response
            .json()
            .await
            .with_context(|| format!("read the answer to {method}"))?;
        match answer {
            RpcAnswer { error: Some(error), .. } => bail!("{}", error.message),
            RpcAnswer {
                result: Some(result), ..
            } => Ok(result.id),
            RpcAnswer { .. } => bail!("the gateway answered {method} with neither a result nor an error"),
        }
    }

    /// The response, when it is a success; else an error that says what to do.
    async fn accepted(&self, response: Response) -> anyhow::Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        bail!("{}", explain(&self.server, status, &body))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
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
                "{} cannot be a server: use a URL like https://steadfast.example.com",
                self.server
            ),
        };
        Ok(url)
    }

    fn unreachable(&self) -> String {
        format!("cannot reach the gateway at {}", self.server)
    }
}

/// The gateway, or what it needs, is away for the moment.
fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 502..=504)
}

/// The words of a refusal.
fn said(body: &str) -> String {
    serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|body| Some(body.get("message").or_else(|| body.get("detail"))?.as_str()?.to_owned()))
        .unwrap_or_else(|| body.chars().take(200).collect())
}

/// What a refusal means for the person at the terminal.
fn explain(server: &Url, status: StatusCode, body: &str) -> String {
    let said = said(body);
    let advice = match status.as_u16() {
        401 => "log in: pass --token, or use a kubeconfig with a token (kubectl auth whoami shows who you are)",
        403 | 404 => {
            "check the names with `kubectl get agents`; if they are right, you lack access: \
             bind the ClusterRole steadfast-user to yourself in the Agent's namespace"
        }
        410 => "the conversation is past Temporal's retention time and cannot be shown",
        502..=504 => "something the gateway needs is away; try again",
        _ => return format!("the gateway at {server} answered {status}: {said}"),
    };
    format!("the gateway at {server} answered {status}: {said}\n{advice}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_server_below_a_path_keeps_its_path() {
        // A client is built with the process's TLS provider, which `main` installs.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let gateway = |server: &str| Gateway::new(server.parse().unwrap(), None).unwrap();
        let url = |server| {
            gateway(server)
                .url(&["agents", "name", "a.b", "rpc"])
                .unwrap()
                .to_string()
        };
        assert_eq!(url("http://h:1"), "http://h:1/agents/name/a.b/rpc");
        assert_eq!(url("http://h:1/base/"), "http://h:1/base/agents/name/a.b/rpc");
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let server: Url = "http://gateway".parse().unwrap();
        let text = explain(
            &server,
            StatusCode::NOT_FOUND,
            r#"{"message":"no agent \"x\"","code":404,"data":null}"#,
        );
        let expected = "the gateway at http://gateway/ answered 404 Not Found: no agent \"x\"\n\
            check the names with `kubectl get agents`; if they are right, you lack access: \
            bind the ClusterRole steadfast-user to yourself in the Agent's namespace";
        assert_eq!(text, expected);
    }
}

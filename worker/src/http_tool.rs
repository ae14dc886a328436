//! Calls an `http` tool: templates in, one request, its answer out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Map, Value};
use steadfast_crds::{
    AgentRevisionSpec,
    agent_tool::{AgentToolSpec, HttpTool},
    environment::referenced_variables,
};
use url::Url;

use crate::{credentials::Credentials, template::render_call};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What of an answer is read beyond the tool's `maxResultBytes`, so that the model learns how much there was.
const READ_BEYOND_BYTES: usize = 1_024;

/// Calls http tools.
#[derive(Clone)]
pub struct HttpToolClient {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
}

/// What the model gets.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpToolAnswer {
    pub content: Value,
    pub is_error: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpToolError {
    /// Another attempt cannot help.
    #[error("{0}")]
    Refused(String),
    /// It may help.
    #[error("{0}")]
    Unavailable(String),
}

impl HttpToolClient {
    pub fn new(credentials: Arc<Credentials>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("steadfast/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, credentials })
    }

    /// Makes one attempt of a call.
    pub async fn call(
        &self,
        revision: &AgentRevisionSpec,
        spec: &AgentToolSpec,
        tool: &HttpTool,
        arguments: &Map<String, Value>,
        idempotency_key: Option<&str>,
    ) -> Result<HttpToolAnswer, HttpToolError> {
        let plan = self.plan(revision, tool, arguments)?;
        let mut request = self
            .http
            .request(plan.method, plan.url.clone())
            .headers(plan.headers)
            .timeout(spec.timeout.as_std());
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = plan.body {
            request = request.body(body);
        }
        let unavailable = |error: reqwest::Error| {
            HttpToolError::Unavailable(format!("{} cannot be reached: {error}", host(&plan.url)))
        };
        let response = request.send().await.map_err(|error| unavailable(error.without_url()))?;
        let status = response.status();
        let limit = usize::try_from(spec.max_result_bytes)
            .unwrap_or(usize::MAX)
            .saturating_add(READ_BEYOND_BYTES);
        let is_json = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
        let text = read_body(response, limit)
            .await
            .map_err(|error| unavailable(error.without_url()))?;
        if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
            return Err(HttpToolError::Unavailable(format!(
                "{} answered {status}: {}",
                host(&plan.url),
                excerpt(&text)
            )));
        }
        let content = read_content(text, is_json);
        if status.is_success() {
            return Ok(HttpToolAnswer {
                content,
                is_error: false,
            });
        }
        Ok(HttpToolAnswer {
            content: serde_json::json!({"status": status.as_u16(), "body": content}),
            is_error: true,
        })
    }

    fn plan(
        &self,
        revision: &AgentRevisionSpec,
        tool: &HttpTool,
        arguments: &Map<String, Value>,
    ) -> Result<Plan, HttpToolError> {
        let refused = |error: &dyn std::error::Error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            HttpToolError::Refused(format!("{error}{cause}"))
        };
        // The host must be known before any credential is looked up for it.
        let plain: BTreeMap<String, String> = referenced_variables(&tool.url)
            .into_iter()
            .map(|name| (name, String::new()))
            .collect();
        let target = render_call(&tool.url, arguments, &plain).map_err(|error| refused(&error))?;
        let target = parse_url(&target)?;
        let variables = |text: &str| -> Result<BTreeMap<String, String>, HttpToolError> {
            referenced_variables(text)
                .into_iter()
                .map(|name| {
                    let value = self
                        .credentials
                        .for_url(&name, &target, revision)
                        .map_err(|error| refused(&error))?;
                    Ok((name, value.to_owned()))
                })
                .collect()
        };
        let render = |text: &str| render_call(text, arguments, &variables(text)?).map_err(|error| refused(&error));
        let url = parse_url(&render(&tool.url)?)?;
        let mut headers = HeaderMap::new();
        for header in &tool.headers {
            let name = HeaderName::try_from(&header.name).map_err(|error| refused(&error))?;
            let mut value = HeaderValue::try_from(render(&header.value)?).map_err(|error| refused(&error))?;
            value.set_sensitive(!referenced_variables(&header.value).is_empty());
            headers.append(name, value);
        }
        let method = Method::from_bytes(tool.method.as_str().as_bytes()).map_err(|error| refused(&error))?;
        let body = match &tool.body {
            Some(body) => Some(render(body)?),
            None if matches!(method, Method::POST | Method::PUT | Method::PATCH) => {
                Some(Value::Object(arguments.clone()).to_string())
            }
            None => None,
        };
        if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(Plan {
            method,
            url,
            headers,
            body,
        })
    }
}

struct Plan {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<String>,
}

fn parse_url(text: &str) -> Result<Url, HttpToolError> {
    let url =
        Url::parse(text).map_err(|error| HttpToolError::Refused(format!("the tool's URL is invalid: {error}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(HttpToolError::Refused(format!(
            "the tool's URL has scheme {other:?}; it must be http or https"
        ))),
    }
}

async fn read_body(response: Response, limit_bytes: usize) -> Result<String, reqwest::Error> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() >= limit_bytes {
            body.truncate(limit_bytes);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// JSON where the server says so, and where it forgot to: an object or a list is nothing else.
fn read_content(text: String, is_json: bool) -> Value {
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if is_json || value.is_object() || value.is_array() => value,
        _ => Value::String(text),
    }
}

fn host(url: &Url) -> String {
    format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    )
}

fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(500)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn revision(tool: &str, hosts: &str) -> AgentRevisionSpec {
        serde_yaml_ng::from_str(&format!(
            "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q,
              credentials: [{{envVarName: TOKEN, hosts: {hosts}}}],
              tools: [{{name: t, spec: {{description: d, parameters: {{type: object}}, http: {tool}}}}}]}}"
        ))
        .unwrap()
    }

    fn plan(tool: &str, hosts: &str) -> Result<Plan, HttpToolError> {
        steadfast_runtime::crypto::install();
        let revision = revision(tool, hosts);
        let client =
            HttpToolClient::new(Arc::new(Credentials::new([("TOKEN".to_owned(), "s3cret".to_owned())]))).unwrap();
        let arguments = serde_json::from_value(json!({"city": "São Paulo"})).unwrap();
        client.plan(&revision, revision.tools[0].spec.http.as_ref().unwrap(), &arguments)
    }

    #[test]
    fn templates_make_the_request() {
        let plan = plan(
            "{method: GET, url: \"https://api.test/w?q={{ city | urlencode }}\", headers: [{name: Authorization, value: \"Bearer ${env.TOKEN}\"}]}",
            "[api.test]",
        )
        .unwrap();
        assert_eq!(plan.url.as_str(), "https://api.test/w?q=S%C3%A3o%20Paulo");
        assert_eq!(plan.headers["authorization"], "Bearer s3cret");
        assert!(plan.headers["authorization"].is_sensitive());
        assert_eq!(plan.body, None);
    }

    #[test]
    fn a_post_without_a_body_sends_the_arguments() {
        let plan = plan("{method: POST, url: \"https://api.test/\"}", "[]").unwrap();
        assert_eq!(plan.body.as_deref(), Some("{\"city\":\"São Paulo\"}"));
        assert_eq!(plan.headers[CONTENT_TYPE], "application/json");
    }

    #[test]
    fn a_credential_does_not_go_to_a_host_it_is_not_for() {
        let tool = "{method: GET, url: \"https://evil.test/\", headers: [{name: A, value: \"${env.TOKEN}\"}]}";
        let Err(error) = plan(tool, "[api.test]") else {
            panic!("planned")
        };
        assert!(
            error.to_string().contains("may not be sent to \"evil.test\""),
            "{error}"
        );
    }
}

//! Reads the response of a server up to a limit, and shapes it by the tool's
//! `response` template if it has one.

use futures::StreamExt;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::{Map, Value, json};
use steadfast_process::ErrorChain;

use crate::template::render;

/// The result that the model gets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpToolResult {
    pub content: Value,
    /// The server refused the request, or the `response` template failed.
    pub is_error: bool,
}

/// A response with its body.
#[derive(Debug)]
pub(super) struct HttpResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl HttpResponse {
    /// Reads at most `limit_bytes` of the body.
    pub(super) async fn read(response: Response, limit_bytes: usize) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk?);
            if body.len() >= limit_bytes {
                body.truncate(limit_bytes);
                break;
            }
        }
        Ok(Self {
            status,
            headers,
            text: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Whether another attempt may succeed.
    pub(super) fn is_retryable(&self) -> bool {
        self.status.is_server_error()
            || matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
    }

    pub(super) fn into_result(self, template: Option<&str>, arguments: &Map<String, Value>) -> HttpToolResult {
        let is_json = self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
        let status = self.status.as_u16();
        let body = read_content(self.text, is_json);
        if !self.status.is_success() {
            return HttpToolResult {
                content: json!({"status": status, "body": body}),
                is_error: true,
            };
        }
        let Some(template) = template else {
            return HttpToolResult {
                content: body,
                is_error: false,
            };
        };
        let scope = json!({"status": status, "headers": header_texts(&self.headers), "body": body, "args": arguments});
        match render(template, &scope) {
            Ok(text) => HttpToolResult {
                content: serde_json::from_str(&text).unwrap_or(Value::String(text)),
                is_error: false,
            },
            // The request has had its effect: the model gets the response without the template.
            Err(error) => HttpToolResult {
                content: json!({"status": status, "body": body, "error": format!("the tool's response template: {}", ErrorChain(&error))}),
                is_error: true,
            },
        }
    }
}

/// Parses JSON if the server declares it, and also an undeclared object or array.
fn read_content(text: String, is_json: bool) -> Value {
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if is_json || value.is_object() || value.is_array() => value,
        _ => Value::String(text),
    }
}

/// The headers by lower-case name; several values of one name are joined.
fn header_texts(headers: &HeaderMap) -> Map<String, Value> {
    let texts = headers.keys().map(|name| {
        let values = headers.get_all(name).iter();
        let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        (name.as_str().to_owned(), Value::String(values.join(", ")))
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn result(status: u16, text: &str, template: Option<&str>) -> HttpToolResult {
        let received = HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (reqwest::header::ETAG, HeaderValue::from_static("v7")),
            ]),
            text: text.to_owned(),
        };
        let arguments = json!({"city": "Bonn"});
        received.into_result(template, arguments.as_object().unwrap())
    }

    fn content(template: &str) -> Value {
        let result = result(200, "{\"now\": {\"celsius\": 7}, \"noise\": [1, 2]}", Some(template));
        assert!(!result.is_error, "{result:?}");
        result.content
    }

    #[test]
    fn a_response_template_selects_the_result_of_the_model() {
        assert_eq!(
            content("{{ args.city }}: {{ body.now.celsius }} °C"),
            json!("Bonn: 7 °C")
        );
        assert_eq!(content("{{ body.now | tojson }}"), json!({"celsius": 7}));
        assert_eq!(content("{{ body.now.celsius }}"), json!(7));
        assert_eq!(content("{{ status }} {{ headers.etag }}"), json!("200 v7"));
    }

    #[test]
    fn a_failed_response_template_keeps_the_response() {
        let result = result(200, "{\"id\": 3}", Some("{{ body.nobody }}"));
        assert!(result.is_error);
        assert_eq!(result.content["body"], json!({"id": 3}));
        let error = result.content["error"].as_str().unwrap();
        assert!(error.contains("undefined value"), "{error}");
    }

    #[test]
    fn a_refused_request_keeps_status_and_body() {
        assert_eq!(
            result(404, "{\"no\": 1}", Some("{{ body.id }}")),
            HttpToolResult {
                content: json!({"status": 404, "body": {"no": 1}}),
                is_error: true
            }
        );
    }
}

//! What becomes of a server's answer: read up to a limit, then shaped by the
//! tool's `response` template if it has one.

use futures::StreamExt;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::{Map, Value, json};

use crate::{address::chain, template::render};

/// What the model gets.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpToolAnswer {
    pub content: Value,
    /// The server refused the request for good.
    pub is_error: bool,
}

/// A server's answer, read.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Received {
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

    /// Whether a later attempt may fare better.
    pub(super) fn is_passing(&self) -> bool {
        self.status.is_server_error()
            || matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
    }

    pub(super) fn into_answer(self, template: Option<&str>, arguments: &Map<String, Value>) -> HttpToolAnswer {
        let is_json = self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
        let status = self.status.as_u16();
        let body = read_content(self.text, is_json);
        if !self.status.is_success() {
            return HttpToolAnswer {
                content: json!({"status": status, "body": body}),
                is_error: true,
            };
        }
        let Some(template) = template else {
            return HttpToolAnswer {
                content: body,
                is_error: false,
            };
        };
        let scope = json!({"status": status, "headers": header_texts(&self.headers), "body": body, "args": arguments});
        match render(template, &scope) {
            Ok(text) => HttpToolAnswer {
                content: serde_json::from_str(&text).unwrap_or(Value::String(text)),
                is_error: false,
            },
            // The request has had its effect: what the server said must not be lost with the template.
            Err(error) => HttpToolAnswer {
                content: json!({"status": status, "body": body, "error": format!("the tool's response: {}", chain(&error))}),
                is_error: true,
            },
        }
    }
}

/// JSON where the server says so, and where it forgot to: an object or a list is nothing else.
fn read_content(text: String, is_json: bool) -> Value {
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if is_json || value.is_object() || value.is_array() => value,
        _ => Value::String(text),
    }
}

/// Headers by lower-case name; of several with one name, all in one text.
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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use reqwest::header::HeaderValue;

    use super::*;

    fn answer(status: u16, text: &str, template: Option<&str>) -> HttpToolAnswer {
        let received = Received {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (reqwest::header::ETAG, HeaderValue::from_static("v7")),
            ]),
            text: text.to_owned(),
        };
        let arguments = json!({"city": "Bonn"});
        received.into_answer(template, arguments.as_object().unwrap())
    }

    fn content(template: &str) -> Value {
        let answer = answer(200, "{\"now\": {\"celsius\": 7}, \"noise\": [1, 2]}", Some(template));
        assert!(!answer.is_error, "{answer:?}");
        answer.content
    }

    #[test]
    fn a_response_template_picks_what_the_model_gets() {
        assert_eq!(
            content("{{ args.city }}: {{ body.now.celsius }} °C"),
            json!("Bonn: 7 °C")
        );
        assert_eq!(content("{{ body.now | tojson }}"), json!({"celsius": 7}));
        assert_eq!(content("{{ body.now.celsius }}"), json!(7));
        assert_eq!(content("{{ status }} {{ headers.etag }}"), json!("200 v7"));
    }

    #[test]
    fn a_response_template_that_fails_keeps_what_the_server_said() {
        let answer = answer(200, "{\"id\": 3}", Some("{{ body.nobody }}"));
        assert!(answer.is_error);
        assert_eq!(answer.content["body"], json!({"id": 3}));
        let error = answer.content["error"].as_str().unwrap();
        assert!(error.contains("undefined value"), "{error}");
    }

    #[test]
    fn a_refusal_is_told_as_it_is() {
        assert_eq!(
            answer(404, "{\"no\": 1}", Some("{{ body.id }}")),
            HttpToolAnswer {
                content: json!({"status": 404, "body": {"no": 1}}),
                is_error: true
            }
        );
    }
}

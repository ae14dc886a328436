//! Reads the response of a server up to a limit, and shapes it by the tool's
//! `response` template if it has one.

use std::error::Error;

use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::{Map, Value, json};
use steadfast_bounds::json;
use steadfast_process::ErrorChain;

use super::response_template::shape;
use crate::egress::{
    content_coding::CodingError,
    redaction::Redactor,
    response_body::{ReadBodyError, ResponseText, read_text},
};

/// The result that the model gets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpToolResult {
    pub content: Value,
    /// The server refused the request, or the `response` template failed.
    pub is_error: bool,
    /// The request has had its effect, whatever became of the `response` template.
    pub has_acted: bool,
}

/// What became of a response.
#[derive(Debug)]
pub(super) enum Received {
    /// The model gets it as it is.
    Result(HttpToolResult),
    /// The tool's template is to make the result.
    Unshaped(Box<Shaping>),
}

/// A successful response, and the template that makes the result.
#[derive(Clone, Debug)]
pub(super) struct Shaping {
    template: String,
    variables: Map<String, Value>,
}

impl Shaping {
    pub(super) fn shape(self) -> HttpToolResult {
        match shape(&self.template, &self.variables) {
            Ok(content) => HttpToolResult {
                content,
                is_error: false,
                has_acted: true,
            },
            Err(error) => self.failed(&error),
        }
    }

    /// The request has had its effect: the model gets the response without the template.
    pub(super) fn failed(mut self, error: &(dyn Error + 'static)) -> HttpToolResult {
        let status = self.variables.remove("status");
        let body = self.variables.remove("body");
        let error = format!("the tool's response template: {}", ErrorChain(error));
        HttpToolResult {
            content: json!({"status": status, "body": body, "error": error}),
            is_error: true,
            has_acted: true,
        }
    }
}

/// A response with its body, without the values of credentials.
#[derive(Debug)]
pub(super) struct HttpResponse<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The text, or why the bytes are no text: they are not what the headers say.
    pub(super) body: Result<ResponseText, CodingError>,
    pub(super) redactor: &'a Redactor,
}

impl<'a> HttpResponse<'a> {
    /// Reads at most `limit_bytes` of the body.
    pub(super) async fn read(
        response: Response,
        limit_bytes: usize,
        redactor: &'a Redactor,
    ) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match read_text(response, limit_bytes).await {
            Ok(text) => Ok(text),
            Err(ReadBodyError::Coding(error)) => Err(error),
            Err(ReadBodyError::Connection(error)) => return Err(error),
        };
        Ok(Self {
            status,
            headers,
            body,
            redactor,
        })
    }

    /// The beginning of the body, for the message of a failure.
    pub(super) fn excerpt(&self, limit_bytes: usize) -> String {
        let mut text = self.redacted_text();
        text.truncate(text.floor_char_boundary(limit_bytes));
        text
    }

    fn redacted_text(&self) -> String {
        match &self.body {
            Ok(ResponseText { text, is_cut: true }) => self.redactor.cut_text(text),
            Ok(ResponseText { text, is_cut: false }) => self.redactor.text(text),
            Err(error) => unreadable(error),
        }
    }

    /// Whether another attempt may succeed.
    pub(super) fn is_retryable(&self) -> bool {
        self.status.is_server_error()
            || matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
    }

    pub(super) fn into_result(self, template: Option<&str>, arguments: &Map<String, Value>) -> Received {
        let is_json = self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
        let status = self.status.as_u16();
        if let Err(error) = &self.body {
            return Received::Result(HttpToolResult {
                content: json!({"status": status, "error": unreadable(error)}),
                is_error: true,
                has_acted: self.status.is_success(),
            });
        }
        let body = self.content(is_json);
        if !self.status.is_success() {
            return Received::Result(HttpToolResult {
                content: json!({"status": status, "body": body}),
                is_error: true,
                has_acted: false,
            });
        }
        let Some(template) = template else {
            return Received::Result(HttpToolResult {
                content: body,
                is_error: false,
                has_acted: true,
            });
        };
        Received::Unshaped(Box::new(Shaping {
            template: template.to_owned(),
            variables: Map::from_iter([
                ("status".to_owned(), Value::from(status)),
                ("headers".to_owned(), Value::Object(self.header_texts())),
                ("body".to_owned(), body),
                ("args".to_owned(), Value::Object(arguments.clone())),
            ]),
        }))
    }

    /// Parses JSON if the server declares it, and also an undeclared object or array. JSON that is too deep stays text.
    fn content(&self, is_json: bool) -> Value {
        let text = self.body.as_ref().map_or("", |body| &body.text);
        match json::read_foreign(text.as_bytes()) {
            Ok(mut value) if is_json || value.is_object() || value.is_array() => {
                self.redactor.value(&mut value);
                value
            }
            _ => Value::String(self.redacted_text()),
        }
    }

    /// The headers by lower-case name; several values of one name are joined.
    fn header_texts(&self) -> Map<String, Value> {
        let texts = self.headers.keys().map(|name| {
            let values = self.headers.get_all(name).iter();
            let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            (
                name.as_str().to_owned(),
                Value::String(self.redactor.text(&values.join(", "))),
            )
        });
        texts.collect()
    }
}

fn unreadable(error: &CodingError) -> String {
    format!("the response cannot be read: {}", ErrorChain(error))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn result(status: u16, text: &str, template: Option<&str>) -> HttpToolResult {
        let text = ResponseText {
            text: text.to_owned(),
            is_cut: false,
        };
        result_of(status, Ok(text), template)
    }

    fn result_of(status: u16, body: Result<ResponseText, CodingError>, template: Option<&str>) -> HttpToolResult {
        let received = HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (reqwest::header::ETAG, HeaderValue::from_static("v7")),
            ]),
            body,
            redactor: &Redactor::new([("TOKEN", "tok-12345678")]),
        };
        let arguments = json!({"city": "Bonn"});
        match received.into_result(template, arguments.as_object().unwrap()) {
            Received::Result(result) => result,
            Received::Unshaped(shaping) => shaping.shape(),
        }
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
    fn a_response_keeps_its_digits_and_survives_what_json_does_not_have() {
        let body = "{\"id\": 100000000000000000001, \"rate\": 1.10, \"mean\": NaN}";
        let expected = "{\"id\":100000000000000000001,\"rate\":1.10,\"mean\":\"NaN\"}";
        assert_eq!(result(200, body, None).content.to_string(), expected);
        assert_eq!(result(200, body, Some("{{ body }}")).content.to_string(), expected);
        assert_eq!(
            result(200, body, Some("{{ body.id }}")).content.to_string(),
            "100000000000000000001"
        );
    }

    #[test]
    fn a_response_that_cannot_be_read_is_an_error_of_a_request_that_has_acted() {
        let unreadable = || Err(CodingError::Unsupported("lzma".to_owned()));
        let accepted = result_of(200, unreadable(), Some("{{ body.id }}"));
        assert!(accepted.is_error && accepted.has_acted);
        assert_eq!(
            accepted.content["error"],
            "the response cannot be read: the content coding \"lzma\" is not supported; gzip, deflate, br and zstd are"
        );
        assert!(!result_of(404, unreadable(), None).has_acted);
    }

    #[test]
    fn a_failed_response_template_keeps_the_response() {
        let result = result(200, "{\"id\": 3}", Some("{{ body.nobody }}"));
        assert!(result.is_error && result.has_acted);
        assert_eq!(result.content["body"], json!({"id": 3}));
        let error = result.content["error"].as_str().unwrap();
        assert!(error.contains("undefined value"), "{error}");
    }

    #[test]
    fn a_response_that_echoes_a_credential_is_redacted() {
        let echo = "{\"sent\": {\"authorization\": \"Bearer tok-12345678\"}}";
        let expected = json!({"sent": {"authorization": "Bearer [redacted: TOKEN]"}});
        assert_eq!(result(200, echo, None).content, expected);
        assert_eq!(result(400, echo, None).content["body"], expected);
        let shaped = result(200, echo, Some("{{ body.sent.authorization | upper }}"));
        assert_eq!(shaped.content, json!("BEARER [REDACTED: TOKEN]"));
        assert_eq!(
            result(200, "you sent tok-12345678", None).content,
            json!("you sent [redacted: TOKEN]")
        );
    }

    #[test]
    fn a_refused_request_keeps_status_and_body() {
        assert_eq!(
            result(404, "{\"no\": 1}", Some("{{ body.id }}")),
            HttpToolResult {
                content: json!({"status": 404, "body": {"no": 1}}),
                is_error: true,
                has_acted: false,
            }
        );
    }
}

//! Prepares the request of a call or of a step from its templates. Sends nothing.

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::Value;
use steadfast_crds::agent_tool::{HttpMethod, HttpTool};
use url::Url;

use crate::egress::{
    request_target::{RequestTarget, RequestTargetError},
    text_body::{self, BodySyntax},
};

/// The content type of a body whose tool names none.
const JSON: &str = "application/json";

/// The body of a request whose tool has no `body`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DefaultBody {
    /// The arguments of a call: sent with POST, PUT and PATCH.
    CallArguments(Value),
    /// The arguments that a step defines: sent with every method but GET.
    StepArguments(Value),
}

#[derive(Debug)]
pub(crate) struct PreparedRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<String>,
}

impl PreparedRequest {
    pub(crate) fn new(
        tool: &HttpTool,
        target: RequestTarget<'_>,
        default_body: DefaultBody,
    ) -> Result<Self, RequestTargetError> {
        let (url, mut headers) = target.url_and_headers(&tool.url, &tool.headers)?;
        let content_type = headers
            .get(CONTENT_TYPE)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let content_type = content_type.unwrap_or_else(|| JSON.to_owned());
        let body = match &tool.body {
            Some(body) => Some(target.body(body, BodySyntax::of_content_type(&content_type), &url)?),
            None => default_body_of(tool.method, default_body),
        };
        // An empty body is none: it is how a tool sends no arguments.
        let body = body.filter(|body| !body.trim().is_empty());
        if let Some(body) = &body {
            text_body::check(&content_type, body)?;
            if !headers.contains_key(CONTENT_TYPE) {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
            }
        }
        let method = match tool.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Patch => Method::PATCH,
            HttpMethod::Delete => Method::DELETE,
        };
        Ok(Self {
            method,
            url: url.url,
            headers,
            body,
        })
    }
}

fn default_body_of(method: HttpMethod, default_body: DefaultBody) -> Option<String> {
    match (method, default_body) {
        (HttpMethod::Get, _) | (HttpMethod::Delete, DefaultBody::CallArguments(_)) => None,
        (_, DefaultBody::CallArguments(body) | DefaultBody::StepArguments(body)) => Some(body.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_crds::{AgentRevisionSpec, yaml};
    use steadfast_egress::EgressPolicy;

    use super::*;
    use crate::egress::credentials::Credentials;

    fn revision(tool: &str, hosts: &str) -> AgentRevisionSpec {
        yaml::from_str(&format!(
            "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q,
              credentials: [{{envVarName: TOKEN, hosts: {hosts}}}],
              tools: [{{name: t, spec: {{description: d, parameters: {{type: object}}, http: {tool}}}}}]}}"
        ))
        .unwrap()
    }

    fn prepare(tool: &str, hosts: &str) -> Result<PreparedRequest, RequestTargetError> {
        prepare_with(tool, hosts, DefaultBody::CallArguments)
    }

    fn prepare_with(
        tool: &str,
        hosts: &str,
        body: impl Fn(Value) -> DefaultBody,
    ) -> Result<PreparedRequest, RequestTargetError> {
        let arguments = json!({"city": "São Paulo"});
        let revision = revision(tool, hosts);
        let target = RequestTarget {
            credentials: &Credentials::new([("TOKEN".to_owned(), "s3cret".to_owned())]),
            policy: EgressPolicy::default(),
            revision: &revision,
            scope: arguments.as_object(),
        };
        PreparedRequest::new(
            revision.tools[0].spec.http.as_ref().unwrap(),
            target,
            body(arguments.clone()),
        )
    }

    #[test]
    fn a_request_is_rendered_from_templates() {
        let prepared = prepare(
            "{method: GET, url: \"https://api.test/w?q={{ city | urlencode }}\", headers: [{name: Authorization, value: \"Bearer ${env.TOKEN}\"}]}",
            "[api.test]",
        )
        .unwrap();
        assert_eq!(prepared.url.as_str(), "https://api.test/w?q=S%C3%A3o%20Paulo");
        assert_eq!(prepared.headers["authorization"], "Bearer s3cret");
        assert!(prepared.headers["authorization"].is_sensitive());
        assert_eq!(prepared.body, None);
    }

    #[test]
    fn a_body_is_encoded_for_its_content_type() {
        let json = "{method: POST, url: \"https://api.test/\", body: '{\"to\": \"{{ city }}\", \"q\": {{ city }}}'}";
        let prepared = prepare(json, "[]").unwrap();
        assert_eq!(
            prepared.body.as_deref(),
            Some("{\"to\": \"São Paulo\", \"q\": \"São Paulo\"}")
        );
        let form = "{method: POST, url: \"https://api.test/\", body: 'q={{ city }}',
                     headers: [{name: Content-Type, value: application/x-www-form-urlencoded}]}";
        assert_eq!(prepare(form, "[]").unwrap().body.as_deref(), Some("q=S%C3%A3o%20Paulo"));
    }

    #[test]
    fn a_body_that_is_declared_json_and_is_none_is_refused() {
        for broken in [
            "{method: POST, url: \"https://api.test/\", body: 'to {{ city }}'}",
            "{method: POST, url: \"https://api.test/\", body: '{\"to\": {{ city }}, }'}",
            "{method: POST, url: \"https://api.test/\", body: '{\"on\": True}',
              headers: [{name: Content-Type, value: application/merge-patch+json}]}",
        ] {
            let error = prepare(broken, "[]").unwrap_err().to_string();
            assert!(error.contains("nothing was sent"), "{error}");
        }
        let text = "{method: POST, url: \"https://api.test/\", body: 'to {{ city }}',
                     headers: [{name: Content-Type, value: text/plain}]}";
        assert_eq!(prepare(text, "[]").unwrap().body.as_deref(), Some("to São Paulo"));
        let empty = prepare("{method: POST, url: \"https://api.test/\", body: ''}", "[]").unwrap();
        assert_eq!((empty.body, empty.headers.get(CONTENT_TYPE)), (None, None));
    }

    #[test]
    fn numbers_of_the_arguments_keep_their_digits() {
        let send = |tool: &str| {
            let revision = revision(tool, "[]");
            let arguments: Value = serde_json::from_str("{\"n\": 100000000000000000001, \"rate\": 1.10}").unwrap();
            let target = RequestTarget {
                credentials: &Credentials::default(),
                policy: EgressPolicy::default(),
                revision: &revision,
                scope: arguments.as_object(),
            };
            let body = DefaultBody::CallArguments(arguments.clone());
            let http = revision.tools[0].spec.http.as_ref().unwrap();
            let prepared = PreparedRequest::new(http, target, body).unwrap();
            (prepared.url.to_string(), prepared.body.unwrap_or_default())
        };
        assert_eq!(
            send("{method: POST, url: \"https://api.test/{{ n }}?rate={{ rate }}\"}"),
            (
                "https://api.test/100000000000000000001?rate=1.10".to_owned(),
                "{\"n\":100000000000000000001,\"rate\":1.10}".to_owned()
            )
        );
        let body = "{method: POST, url: \"https://api.test/\", body: '{\"n\": {{ n }}, \"t\": \"{{ rate }}\"}'}";
        assert_eq!(send(body).1, "{\"n\": 100000000000000000001, \"t\": \"1.10\"}");
    }

    #[test]
    fn a_post_without_a_body_sends_the_arguments() {
        let prepared = prepare("{method: POST, url: \"https://api.test/\"}", "[]").unwrap();
        assert_eq!(prepared.body.as_deref(), Some("{\"city\":\"São Paulo\"}"));
        assert_eq!(prepared.headers[CONTENT_TYPE], "application/json");
    }

    #[test]
    fn a_delete_sends_the_arguments_of_a_step_only() {
        let tool = "{method: DELETE, url: \"https://api.test/\"}";
        assert_eq!(prepare(tool, "[]").unwrap().body, None);
        let step = prepare_with(tool, "[]", DefaultBody::StepArguments).unwrap();
        assert_eq!(step.body.as_deref(), Some("{\"city\":\"São Paulo\"}"));
    }

    #[test]
    fn a_credential_is_not_sent_to_a_host_that_is_not_its_own() {
        let tool = "{method: GET, url: \"https://evil.test/\", headers: [{name: A, value: \"${env.TOKEN}\"}]}";
        let error = prepare(tool, "[api.test]").unwrap_err().to_string();
        assert!(error.contains("may not be sent to \"evil.test\""), "{error}");
    }

    #[test]
    fn an_argument_cannot_name_a_metadata_service() {
        let tool = "{method: GET, url: \"https://{{ host }}/\"}";
        let revision = revision(tool, "[]");
        let arguments = json!({"host": "169.254.169.254"});
        let target = RequestTarget {
            credentials: &Credentials::default(),
            policy: EgressPolicy::default(),
            revision: &revision,
            scope: arguments.as_object(),
        };
        let prepared = PreparedRequest::new(
            revision.tools[0].spec.http.as_ref().unwrap(),
            target,
            DefaultBody::CallArguments(Value::Null),
        );
        assert!(matches!(prepared, Err(RequestTargetError::Denied(_))));
    }
}

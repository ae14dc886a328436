//! The request of a call or a step, made from its templates. Makes no request.

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::Value;
use steadfast_crds::agent_tool::{HttpMethod, HttpTool};
use url::Url;

use crate::target::{Target, TargetError};

/// What is sent when a tool has no `body`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DefaultBody {
    /// A call's arguments: only methods that carry a body send them.
    Usual(Value),
    /// Arguments that a step names itself: they are sent with every method but GET.
    Asked(Value),
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
}

impl Plan {
    pub(super) fn new(tool: &HttpTool, target: Target<'_>, default_body: DefaultBody) -> Result<Self, TargetError> {
        let url = target.url(&tool.url)?;
        let mut headers = target.headers(&tool.headers, &url)?;
        let body = match &tool.body {
            Some(body) => Some(target.text(body, &url)?),
            None => usual_body(tool.method, default_body),
        };
        if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
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
            url,
            headers,
            body,
        })
    }
}

fn usual_body(method: HttpMethod, default_body: DefaultBody) -> Option<String> {
    match (method, default_body) {
        (HttpMethod::Get, _) | (HttpMethod::Delete, DefaultBody::Usual(_)) => None,
        (_, DefaultBody::Usual(body) | DefaultBody::Asked(body)) => Some(body.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;
    use steadfast_crds::AgentRevisionSpec;

    use super::*;
    use crate::{address::AddressPolicy, credentials::Credentials};

    fn revision(tool: &str, hosts: &str) -> AgentRevisionSpec {
        serde_yaml_ng::from_str(&format!(
            "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q,
              credentials: [{{envVarName: TOKEN, hosts: {hosts}}}],
              tools: [{{name: t, spec: {{description: d, parameters: {{type: object}}, http: {tool}}}}}]}}"
        ))
        .unwrap()
    }

    fn plan(tool: &str, hosts: &str) -> Result<Plan, TargetError> {
        plan_with(tool, hosts, DefaultBody::Usual)
    }

    fn plan_with(tool: &str, hosts: &str, body: impl Fn(Value) -> DefaultBody) -> Result<Plan, TargetError> {
        let arguments = json!({"city": "São Paulo"});
        let revision = revision(tool, hosts);
        let target = Target {
            credentials: &Credentials::new([("TOKEN".to_owned(), "s3cret".to_owned())]),
            policy: AddressPolicy::default(),
            revision: &revision,
            scope: arguments.as_object(),
        };
        Plan::new(
            revision.tools[0].spec.http.as_ref().unwrap(),
            target,
            body(arguments.clone()),
        )
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
    fn a_delete_sends_only_the_arguments_a_step_asks_for() {
        let tool = "{method: DELETE, url: \"https://api.test/\"}";
        assert_eq!(plan(tool, "[]").unwrap().body, None);
        let asked = plan_with(tool, "[]", DefaultBody::Asked).unwrap();
        assert_eq!(asked.body.as_deref(), Some("{\"city\":\"São Paulo\"}"));
    }

    #[test]
    fn a_credential_does_not_go_to_a_host_it_is_not_for() {
        let tool = "{method: GET, url: \"https://evil.test/\", headers: [{name: A, value: \"${env.TOKEN}\"}]}";
        let error = plan(tool, "[api.test]").unwrap_err().to_string();
        assert!(error.contains("may not be sent to \"evil.test\""), "{error}");
    }

    #[test]
    fn an_argument_does_not_lead_to_the_metadata_service() {
        let tool = "{method: GET, url: \"https://{{ host }}/\"}";
        let revision = revision(tool, "[]");
        let arguments = json!({"host": "169.254.169.254"});
        let target = Target {
            credentials: &Credentials::default(),
            policy: AddressPolicy::default(),
            revision: &revision,
            scope: arguments.as_object(),
        };
        let made = Plan::new(
            revision.tools[0].spec.http.as_ref().unwrap(),
            target,
            DefaultBody::Usual(Value::Null),
        );
        assert!(matches!(made, Err(TargetError::Address(_))));
    }
}

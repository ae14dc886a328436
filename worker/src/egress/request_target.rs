//! The URL and the headers of a request: expands `${env.NAME}`, sends each value
//! only to the hosts of its credential, and applies the egress policy. Makes no
//! request.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue};
use serde_json::{Map, Value};
use steadfast_crds::{
    AgentRevisionSpec,
    agent_tool::HttpHeader,
    environment::{referenced_variables, try_expand},
};
use url::Url;

use super::{
    credentials::{CredentialError, Credentials},
    policy::{EgressDenied, EgressPolicy},
};
use crate::template::{RenderError, render_call};

/// Why a request cannot be built. Another attempt cannot succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestTargetError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Template(#[from] RenderError),
    #[error("the URL is invalid")]
    ParseUrl(#[from] url::ParseError),
    #[error("the URL has the scheme {0:?}; it must be http or https")]
    Scheme(String),
    #[error(transparent)]
    Denied(#[from] EgressDenied),
    #[error("the header name {name:?} is invalid")]
    HeaderName {
        name: String,
        #[source]
        source: InvalidHeaderName,
    },
    #[error("the value of the header {name:?} is invalid")]
    HeaderValue {
        name: String,
        #[source]
        source: InvalidHeaderValue,
    },
}

/// Builds the parts of one request.
#[derive(Clone, Copy)]
pub(crate) struct RequestTarget<'a> {
    pub credentials: &'a Credentials,
    /// None for the model API: the egress policy does not apply to it.
    pub policy: Option<EgressPolicy>,
    pub revision: &'a AgentRevisionSpec,
    /// The variables of templates; none where texts are no templates.
    pub scope: Option<&'a Map<String, Value>>,
}

impl RequestTarget<'_> {
    /// Expands and checks a URL.
    pub(crate) fn url(&self, source: &str) -> Result<Url, RequestTargetError> {
        let names = referenced_variables(source);
        let mut values = BTreeMap::new();
        for name in &names {
            values.insert(name.clone(), self.credentials.value(name)?.to_owned());
        }
        let url = parse(&self.render(source, &values)?)?;
        // An error may show the host only if no value is a part of it.
        let blank = names.iter().map(|name| (name.clone(), String::new())).collect();
        let without_values = self.render(source, &blank).ok().and_then(|text| parse(&text).ok());
        let may_show_host = without_values.is_some_and(|blank| blank.host() == url.host());
        for name in &names {
            match self.credentials.for_url(name, &url, self.revision) {
                Ok(_) => {}
                Err(CredentialError::HostNotAllowed { name, allowed, .. }) if !may_show_host => {
                    return Err(CredentialError::HostFromValue { name, allowed }.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(policy) = self.policy {
            policy.check_url(&url)?;
        }
        Ok(url)
    }

    /// The URL and the headers of a request.
    pub(crate) fn url_and_headers(
        &self,
        url: &str,
        headers: &[HttpHeader],
    ) -> Result<(Url, HeaderMap), RequestTargetError> {
        let url = self.url(url)?;
        let headers = self.headers(headers, &url)?;
        Ok((url, headers))
    }

    /// Expands a text of a request to this URL.
    pub(crate) fn text(&self, source: &str, url: &Url) -> Result<String, RequestTargetError> {
        let mut values = BTreeMap::new();
        for name in referenced_variables(source) {
            let value = self.credentials.for_url(&name, url, self.revision)?.to_owned();
            values.insert(name, value);
        }
        self.render(source, &values)
    }

    /// Expands the headers of a request to this URL; those with a credential are marked as sensitive.
    pub(crate) fn headers(&self, headers: &[HttpHeader], url: &Url) -> Result<HeaderMap, RequestTargetError> {
        let mut expanded = HeaderMap::new();
        for header in headers {
            let name = HeaderName::try_from(&header.name).map_err(|source| RequestTargetError::HeaderName {
                name: header.name.clone(),
                source,
            })?;
            let text = self.text(&header.value, url)?;
            let mut value = HeaderValue::try_from(text).map_err(|source| RequestTargetError::HeaderValue {
                name: header.name.clone(),
                source,
            })?;
            value.set_sensitive(!referenced_variables(&header.value).is_empty());
            expanded.append(name, value);
        }
        Ok(expanded)
    }

    fn render(&self, source: &str, values: &BTreeMap<String, String>) -> Result<String, RequestTargetError> {
        match self.scope {
            Some(scope) => Ok(render_call(source, scope, values)?),
            None => try_expand(source, |name| match values.get(name) {
                Some(value) => Ok(value),
                None => Err(CredentialError::Missing { name: name.to_owned() }.into()),
            }),
        }
    }
}

fn parse(text: &str) -> Result<Url, RequestTargetError> {
    let url = Url::parse(text)?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(RequestTargetError::Scheme(other.to_owned())),
    }
}

/// Host and port, which messages may show; the rest of a URL may hold a secret.
pub(crate) fn host(url: &Url) -> String {
    format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(hosts: &str) -> AgentRevisionSpec {
        serde_yaml_ng::from_str(&format!(
            "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q,
              credentials: [{{envVarName: BASE, hosts: {hosts}}}]}}"
        ))
        .unwrap()
    }

    fn url(source: &str, hosts: &str) -> Result<Url, RequestTargetError> {
        let variables = [
            ("BASE".to_owned(), "https://api.test/v1".to_owned()),
            ("METADATA".to_owned(), "http://169.254.169.254".to_owned()),
        ];
        let target = RequestTarget {
            credentials: &Credentials::new(variables),
            policy: Some(EgressPolicy::default()),
            revision: &revision(hosts),
            scope: None,
        };
        target.url(source)
    }

    #[test]
    fn a_url_may_start_with_a_variable() {
        assert_eq!(
            url("${env.BASE}/mcp", "[api.test]").unwrap().as_str(),
            "https://api.test/v1/mcp"
        );
    }

    #[test]
    fn an_error_does_not_show_a_host_that_comes_from_a_credential() {
        let error = url("https://evil.test/${env.BASE}", "[other.test]").unwrap_err();
        assert!(error.to_string().contains("\"evil.test\""), "{error}");
        let error = url("${env.BASE}/mcp", "[other.test]").unwrap_err().to_string();
        assert!(
            error.contains("takes its host from") && !error.contains("api.test"),
            "{error}"
        );
    }

    #[test]
    fn a_denied_address_is_refused() {
        assert!(matches!(
            url("${env.METADATA}/", "[]"),
            Err(RequestTargetError::Denied(_))
        ));
        assert!(matches!(
            url("file:///etc/passwd", "[]"),
            Err(RequestTargetError::Scheme(_))
        ));
    }

    #[test]
    fn braces_are_plain_text_where_there_is_no_template() {
        assert_eq!(
            url("https://api.test/{{ x }}", "[]").unwrap().path(),
            "/%7B%7B%20x%20%7D%7D"
        );
    }

    #[test]
    fn a_value_is_sent_as_it_is_and_never_expanded_again() {
        let variables = [
            ("BASE".to_owned(), "a${env.OTHER}".to_owned()),
            ("OTHER".to_owned(), "b".to_owned()),
        ];
        let target = RequestTarget {
            credentials: &Credentials::new(variables),
            policy: Some(EgressPolicy::default()),
            revision: &revision("[]"),
            scope: None,
        };
        let url = Url::parse("https://api.test/").unwrap();
        let text = target.text("${env.BASE} ${env.OTHER}", &url).unwrap();
        assert_eq!(text, "a${env.OTHER} b");
    }

    #[test]
    fn a_credential_with_a_wildcard_is_sent_to_a_host_that_matches() {
        let target = RequestTarget {
            credentials: &Credentials::new([("BASE".to_owned(), "s3cret".to_owned())]),
            policy: Some(EgressPolicy::default()),
            revision: &revision("['*.example.com']"),
            scope: None,
        };
        let header = HttpHeader {
            name: "Authorization".to_owned(),
            value: "Bearer ${env.BASE}".to_owned(),
        };
        let (_, headers) = target
            .url_and_headers("https://api.example.com/", std::slice::from_ref(&header))
            .unwrap();
        assert_eq!(headers["authorization"], "Bearer s3cret");
        assert!(target.url_and_headers("https://example.org/", &[header]).is_err());
    }
}

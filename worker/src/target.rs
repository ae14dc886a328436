//! Where a request goes, and with which headers: `${env.NAME}` is put in, each
//! value only for a host it is meant for, and the address is one that may be
//! connected to. Makes no request.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue};
use serde_json::{Map, Value};
use steadfast_crds::{AgentRevisionSpec, agent_tool::HttpHeader, environment::referenced_variables};
use url::Url;

use crate::{
    address::{AddressPolicy, AddressRefused},
    credentials::{CredentialError, Credentials},
    template::{RenderError, render_call},
};

/// Why there is nowhere to send a request to. Another attempt cannot help.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Template(#[from] RenderError),
    #[error("the URL is invalid")]
    ParseUrl(#[from] url::ParseError),
    #[error("the URL has scheme {0:?}; it must be http or https")]
    Scheme(String),
    #[error(transparent)]
    Address(#[from] AddressRefused),
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

/// Makes the parts of one request.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub credentials: &'a Credentials,
    pub policy: AddressPolicy,
    pub revision: &'a AgentRevisionSpec,
    /// What templates know; texts that are no templates have none.
    pub scope: Option<&'a Map<String, Value>>,
}

impl Target<'_> {
    /// The URL that a text stands for.
    pub(crate) fn url(&self, source: &str) -> Result<Url, TargetError> {
        let names = referenced_variables(source);
        let mut values = BTreeMap::new();
        for name in &names {
            values.insert(name.clone(), self.credentials.value(name)?.to_owned());
        }
        let url = parse(&self.render(source, &values)?)?;
        // A host that is there without any value can be told; one that a value makes cannot.
        let blank = names.iter().map(|name| (name.clone(), String::new())).collect();
        let told = self.render(source, &blank).ok().and_then(|text| parse(&text).ok());
        let may_tell = told.is_some_and(|told| told.host() == url.host());
        for name in &names {
            match self.credentials.for_url(name, &url, self.revision) {
                Ok(_) => {}
                Err(CredentialError::HostNotAllowed { name, allowed, .. }) if !may_tell => {
                    return Err(CredentialError::HostFromValue { name, allowed }.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.policy.check_url(&url)?;
        Ok(url)
    }

    /// A text of a request to this URL.
    pub(crate) fn text(&self, source: &str, url: &Url) -> Result<String, TargetError> {
        let mut values = BTreeMap::new();
        for name in referenced_variables(source) {
            let value = self.credentials.for_url(&name, url, self.revision)?.to_owned();
            values.insert(name, value);
        }
        self.render(source, &values)
    }

    /// The headers of a request to this URL; those with a credential are marked as sensitive.
    pub(crate) fn headers(&self, headers: &[HttpHeader], url: &Url) -> Result<HeaderMap, TargetError> {
        let mut made = HeaderMap::new();
        for header in headers {
            let name = HeaderName::try_from(&header.name).map_err(|source| TargetError::HeaderName {
                name: header.name.clone(),
                source,
            })?;
            let text = self.text(&header.value, url)?;
            let mut value = HeaderValue::try_from(text).map_err(|source| TargetError::HeaderValue {
                name: header.name.clone(),
                source,
            })?;
            value.set_sensitive(!referenced_variables(&header.value).is_empty());
            made.append(name, value);
        }
        Ok(made)
    }

    fn render(&self, source: &str, values: &BTreeMap<String, String>) -> Result<String, TargetError> {
        match self.scope {
            Some(scope) => Ok(render_call(source, scope, values)?),
            None => Ok(values.iter().fold(source.to_owned(), |text, (name, value)| {
                text.replace(&format!("${{env.{name}}}"), value)
            })),
        }
    }
}

fn parse(text: &str) -> Result<Url, TargetError> {
    let url = Url::parse(text)?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(TargetError::Scheme(other.to_owned())),
    }
}

/// Host and port, which may stand in messages; the rest of a URL may hold a secret.
pub(crate) fn host(url: &Url) -> String {
    format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn revision(hosts: &str) -> AgentRevisionSpec {
        serde_yaml_ng::from_str(&format!(
            "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q,
              credentials: [{{envVarName: BASE, hosts: {hosts}}}]}}"
        ))
        .unwrap()
    }

    fn url(source: &str, hosts: &str) -> Result<Url, TargetError> {
        let variables = [
            ("BASE".to_owned(), "https://api.test/v1".to_owned()),
            ("METADATA".to_owned(), "http://169.254.169.254".to_owned()),
        ];
        let target = Target {
            credentials: &Credentials::new(variables),
            policy: AddressPolicy::default(),
            revision: &revision(hosts),
            scope: None,
        };
        target.url(source)
    }

    #[test]
    fn a_url_may_begin_with_a_variable() {
        assert_eq!(
            url("${env.BASE}/mcp", "[api.test]").unwrap().as_str(),
            "https://api.test/v1/mcp"
        );
    }

    #[test]
    fn a_host_made_of_a_credential_is_checked_and_not_told() {
        let error = url("https://evil.test/${env.BASE}", "[other.test]").unwrap_err();
        assert!(error.to_string().contains("\"evil.test\""), "{error}");
        let error = url("${env.BASE}/mcp", "[other.test]").unwrap_err().to_string();
        assert!(
            error.contains("makes the host") && !error.contains("api.test"),
            "{error}"
        );
    }

    #[test]
    fn an_address_that_must_not_be_connected_to_is_refused() {
        assert!(matches!(url("${env.METADATA}/", "[]"), Err(TargetError::Address(_))));
        assert!(matches!(url("file:///etc/passwd", "[]"), Err(TargetError::Scheme(_))));
    }

    #[test]
    fn braces_are_only_braces_where_there_is_no_template() {
        assert_eq!(
            url("https://api.test/{{ x }}", "[]").unwrap().path(),
            "/%7B%7B%20x%20%7D%7D"
        );
    }
}

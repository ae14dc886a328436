//! The URL, the headers and the body of a request: puts arguments and
//! `${env.NAME}` into them, sends each value only to the hosts of its credential,
//! and applies the egress policy. Makes no request.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue};
use serde_json::{Map, Value};
use steadfast_crds::{
    AgentRevisionSpec, agent_tool::HttpHeader, environment::referenced_variables, url_template::fixed_part,
};
use steadfast_egress::{EgressDenied, EgressPolicy};
use url::Url;

use super::{
    credentials::{CredentialError, Credentials, Destination},
    pieces::{self, Piece},
    text_body::{self, BodySyntax, TextBodyError},
    text_header::{self, TextHeaderError},
    url_text::{self, BuiltUrl, UrlTextError},
};
use crate::template::RenderError;

/// Why a request cannot be built. Another attempt cannot succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestTargetError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Template(#[from] RenderError),
    #[error(transparent)]
    Url(#[from] UrlTextError),
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
    #[error("the header {name:?}")]
    HeaderText {
        name: String,
        #[source]
        source: TextHeaderError,
    },
    #[error("the value of the header {name:?} is invalid")]
    HeaderValue {
        name: String,
        #[source]
        source: InvalidHeaderValue,
    },
    #[error(transparent)]
    Body(#[from] TextBodyError),
}

/// Builds the parts of one request.
#[derive(Clone, Copy)]
pub(crate) struct RequestTarget<'a> {
    pub credentials: &'a Credentials,
    pub policy: EgressPolicy,
    pub revision: &'a AgentRevisionSpec,
    /// The variables of templates; none where texts are no templates.
    pub scope: Option<&'a Map<String, Value>>,
}

/// The checked URL of a request.
#[derive(Clone, Debug)]
pub(crate) struct TargetUrl {
    pub url: Url,
    host_is_fixed: bool,
}

impl TargetUrl {
    fn destination(&self) -> Destination<'_> {
        Destination {
            url: &self.url,
            host_is_fixed: self.host_is_fixed,
        }
    }
}

impl RequestTarget<'_> {
    /// Builds and checks a URL.
    pub(crate) fn url(&self, source: &str) -> Result<TargetUrl, RequestTargetError> {
        let pieces = self.pieces(source)?;
        let fixed = match self.scope {
            Some(_) if fixed_part(source) != source => pieces::split(fixed_part(source)),
            _ => pieces.clone(),
        };
        let value = |name: &str| -> Result<String, RequestTargetError> {
            Ok(self.credentials.value(name, self.revision)?.to_owned())
        };
        let BuiltUrl { url, host_is_fixed } = url_text::build(&pieces, &fixed, value)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(RequestTargetError::Scheme(url.scheme().to_owned()));
        }
        // An error may show the host only if no value is a part of it.
        let blank = url_text::build::<RequestTargetError>(&pieces, &fixed, |_| Ok(String::new()));
        let may_show_host = blank.is_ok_and(|blank| blank.url.host() == url.host());
        let target = TargetUrl { url, host_is_fixed };
        for name in referenced_variables(source) {
            match self
                .credentials
                .for_destination(&name, target.destination(), self.revision)
            {
                Ok(_) => {}
                Err(CredentialError::HostNotAllowed { name, allowed, .. }) if !may_show_host => {
                    return Err(CredentialError::HostFromValue { name, allowed }.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.policy.check_url(&target.url)?;
        Ok(target)
    }

    /// The URL and the headers of a request.
    pub(crate) fn url_and_headers(
        &self,
        url: &str,
        headers: &[HttpHeader],
    ) -> Result<(TargetUrl, HeaderMap), RequestTargetError> {
        let url = self.url(url)?;
        let headers = self.headers(headers, &url)?;
        Ok((url, headers))
    }

    /// Builds the body of a request to this URL.
    pub(crate) fn body(&self, source: &str, syntax: BodySyntax, url: &TargetUrl) -> Result<String, RequestTargetError> {
        text_body::build(syntax, &self.pieces(source)?, |name| {
            let value = self
                .credentials
                .for_destination(name, url.destination(), self.revision)?;
            Ok(value.to_owned())
        })
    }

    /// Builds the headers of a request to this URL; those with a credential are marked as sensitive.
    pub(crate) fn headers(&self, headers: &[HttpHeader], url: &TargetUrl) -> Result<HeaderMap, RequestTargetError> {
        let mut expanded = HeaderMap::new();
        for header in headers {
            let name = HeaderName::try_from(&header.name).map_err(|source| RequestTargetError::HeaderName {
                name: header.name.clone(),
                source,
            })?;
            let text = self.header_text(header, url)?;
            let mut value = HeaderValue::try_from(text).map_err(|source| RequestTargetError::HeaderValue {
                name: header.name.clone(),
                source,
            })?;
            value.set_sensitive(!referenced_variables(&header.value).is_empty());
            expanded.append(name, value);
        }
        Ok(expanded)
    }

    fn header_text(&self, header: &HttpHeader, url: &TargetUrl) -> Result<String, RequestTargetError> {
        let pieces = self.pieces(&header.value)?;
        let built = text_header::build::<HeaderError>(&header.name, &pieces, |name| {
            let value = self.credentials.for_header(name, url.destination(), self.revision)?;
            Ok(value.to_owned())
        });
        built.map_err(|error| match error {
            HeaderError::Credential(error) => error.into(),
            HeaderError::Text(source) => RequestTargetError::HeaderText {
                name: header.name.clone(),
                source,
            },
        })
    }

    fn pieces(&self, source: &str) -> Result<Vec<Piece>, RenderError> {
        match self.scope {
            Some(scope) => pieces::render(source, scope),
            None => Ok(pieces::split(source)),
        }
    }
}

/// Why the value of a header cannot be built.
#[derive(Debug)]
enum HeaderError {
    Credential(CredentialError),
    Text(TextHeaderError),
}

impl From<CredentialError> for HeaderError {
    fn from(error: CredentialError) -> Self {
        Self::Credential(error)
    }
}

impl From<TextHeaderError> for HeaderError {
    fn from(error: TextHeaderError) -> Self {
        Self::Text(error)
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
    use steadfast_crds::yaml;

    use super::*;

    fn revision(hosts: &str) -> AgentRevisionSpec {
        yaml::from_str(&format!(
            "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q,
              credentials: [{{envVarName: BASE, hosts: {hosts}}}, {{envVarName: METADATA}}, {{envVarName: OTHER}}]}}"
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
            policy: EgressPolicy::default(),
            revision: &revision(hosts),
            scope: None,
        };
        target.url(source).map(|target| target.url)
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
            url("ftp://files.test/", "[]"),
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
            ("BASE".to_owned(), "a${env.OTHER}{{ x }}".to_owned()),
            ("OTHER".to_owned(), "b".to_owned()),
        ];
        let scope = Map::from_iter([("x".to_owned(), Value::from("${env.OTHER}"))]);
        let target = RequestTarget {
            credentials: &Credentials::new(variables),
            policy: EgressPolicy::default(),
            revision: &revision("[]"),
            scope: Some(&scope),
        };
        let url = target.url("https://api.test/").unwrap();
        let body = target.body("${env.BASE} {{ x }} ${env.OTHER}", BodySyntax::Text, &url);
        assert_eq!(body.unwrap(), "a${env.OTHER}{{ x }} ${env.OTHER} b");
    }

    #[test]
    fn a_credential_without_hosts_does_not_follow_an_argument_to_another_host() {
        let header = |value: &str| HttpHeader {
            name: "Authorization".to_owned(),
            value: value.to_owned(),
        };
        let request = |url: &str, value: &str, hosts: &str| {
            let scope = Map::from_iter([("region".to_owned(), Value::from("eu"))]);
            let revision = revision(hosts);
            let target = RequestTarget {
                credentials: &Credentials::new([("BASE".to_owned(), "s3cret".to_owned())]),
                policy: EgressPolicy::default(),
                revision: &revision,
                scope: Some(&scope),
            };
            target.url_and_headers(url, &[header(value)]).map(drop)
        };
        let templated = "https://{{ region }}.example.com/";
        let refused = request(templated, "Bearer ${env.BASE}", "[]").unwrap_err();
        assert!(
            matches!(
                refused,
                RequestTargetError::Credential(CredentialError::HostsRequired { .. })
            ),
            "{refused}"
        );
        request(templated, "no credential", "[]").unwrap();
        request(templated, "Bearer ${env.BASE}", "['*.example.com']").unwrap();
        request("https://example.com/{{ region }}", "Bearer ${env.BASE}", "[]").unwrap();
        request("https://example.com{{ region }}/", "Bearer ${env.BASE}", "[]").unwrap_err();
        request("https://example.com/{{ region }}?key=${env.BASE}", "", "[]").unwrap();
        request("https://{{ region }}.example.com/?key=${env.BASE}", "", "[]").unwrap_err();
    }

    #[test]
    fn a_credential_with_a_wildcard_is_sent_to_a_host_that_matches() {
        let target = RequestTarget {
            credentials: &Credentials::new([("BASE".to_owned(), "s3cret".to_owned())]),
            policy: EgressPolicy::default(),
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

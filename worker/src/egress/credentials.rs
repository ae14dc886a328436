//! The values of the environment variables that an agent may use, and the hosts
//! that each value may be sent to.

use std::collections::BTreeMap;

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use steadfast_crds::{AgentRevisionSpec, agent_revision::RevisionCredential, environment::is_reserved};
use url::Url;

use super::redaction::Redactor;

/// The environment variables of this process. `Debug` never shows a value.
#[derive(Clone, Debug, Default)]
pub struct Credentials(BTreeMap<String, SecretString>);

#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("the environment variable {name} is not set in the worker; add it to the agent's credentials")]
    Missing { name: String },
    #[error("the credential {name} may not be sent to {host:?}; its hosts are {allowed:?}")]
    HostNotAllowed {
        name: String,
        host: String,
        allowed: Vec<String>,
    },
    /// The value is a part of the host; the message must not show that host.
    #[error(
        "the URL takes its host from the credential {name}, and the credential may not be sent there; its hosts are {allowed:?}"
    )]
    HostFromValue { name: String, allowed: Vec<String> },
    #[error("the environment variable {name} is reserved and cannot be used by an agent")]
    Reserved { name: String },
    #[error("the environment variable {name} is none of the agent's credentials")]
    NotListed { name: String },
    /// Without `hosts` an argument of the model would decide where the value goes.
    #[error("an argument can change the host of the URL: the credential {name} is not sent there without `hosts`")]
    HostsRequired { name: String },
    #[error("the value of {name} contains a line break or a control character and cannot be sent in a header")]
    NotAHeaderValue { name: String },
}

/// Where a credential would be sent.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    pub url: &'a Url,
    /// No argument of a call can change the host.
    pub host_is_fixed: bool,
}

impl<'a> Destination<'a> {
    /// A URL whose host no argument can change.
    pub fn fixed(url: &'a Url) -> Self {
        Self {
            url,
            host_is_fixed: true,
        }
    }
}

impl Credentials {
    /// Keeps the variables that are not reserved for the worker itself. Spaces and line breaks around a value are
    /// removed: Secrets are often made from files that end with a line break.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let usable = variables.into_iter().filter(|(name, _)| !is_reserved(name));
        let trimmed = usable.map(|(name, value)| (name, SecretString::from(value.trim().to_owned())));
        Self(trimmed.collect())
    }

    /// The value of a variable for a request to this destination.
    pub fn for_destination(
        &self,
        name: &str,
        destination: Destination<'_>,
        revision: &AgentRevisionSpec,
    ) -> Result<&str, CredentialError> {
        let value = self.value(name, revision)?;
        let Some(credential) = listed(name, revision) else {
            return Err(CredentialError::NotListed { name: name.to_owned() });
        };
        if credential.hosts.is_empty() {
            if destination.host_is_fixed {
                return Ok(value);
            }
            return Err(CredentialError::HostsRequired { name: name.to_owned() });
        }
        let url = destination.url;
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        if credential.hosts.iter().any(|allowed| allowed.matches(host, port)) {
            return Ok(value);
        }
        Err(CredentialError::HostNotAllowed {
            name: name.to_owned(),
            host: host.to_owned(),
            allowed: credential.hosts.iter().map(ToString::to_string).collect(),
        })
    }

    /// The same for a header: the value fits into one.
    pub(crate) fn for_header(
        &self,
        name: &str,
        destination: Destination<'_>,
        revision: &AgentRevisionSpec,
    ) -> Result<&str, CredentialError> {
        let value = self.for_destination(name, destination, revision)?;
        // The error of the library would not name the variable, and some libraries panic instead.
        if HeaderValue::from_str(value).is_err() {
            return Err(CredentialError::NotAHeaderValue { name: name.to_owned() });
        }
        Ok(value)
    }

    /// The value of a variable, to expand a URL. No request may use it before `for_destination` has allowed the URL.
    pub(crate) fn value(&self, name: &str, revision: &AgentRevisionSpec) -> Result<&str, CredentialError> {
        if is_reserved(name) {
            return Err(CredentialError::Reserved { name: name.to_owned() });
        }
        if listed(name, revision).is_none() {
            return Err(CredentialError::NotListed { name: name.to_owned() });
        }
        let value = self
            .0
            .get(name)
            .ok_or_else(|| CredentialError::Missing { name: name.to_owned() })?;
        Ok(value.expose_secret())
    }

    /// Removes the values of a revision's credentials from what comes back from outside.
    pub(crate) fn redactor(&self, revision: &AgentRevisionSpec) -> Redactor {
        Redactor::new(self.values(revision))
    }

    /// The same for one more value, which is no variable.
    pub(crate) fn redactor_with(&self, revision: &AgentRevisionSpec, name: &str, value: &str) -> Redactor {
        Redactor::new(self.values(revision).chain([(name, value)]))
    }

    fn values<'a>(&'a self, revision: &'a AgentRevisionSpec) -> impl Iterator<Item = (&'a str, &'a str)> {
        let names = revision
            .credentials
            .iter()
            .map(|credential| credential.env_var_name.as_str());
        names.filter_map(|name| Some((name, self.0.get(name)?.expose_secret())))
    }
}

fn listed<'a>(name: &str, revision: &'a AgentRevisionSpec) -> Option<&'a RevisionCredential> {
    let mut credentials = revision.credentials.iter();
    credentials.find(|credential| credential.env_var_name == name)
}

#[cfg(test)]
mod tests {
    use steadfast_crds::yaml;

    use super::*;

    fn revision(hosts: &str) -> AgentRevisionSpec {
        yaml::from_str(&format!(
            "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q,
              credentials: [{{envVarName: KEY, hosts: {hosts}}}]}}"
        ))
        .unwrap()
    }

    #[test]
    fn a_credential_with_hosts_is_sent_to_no_other_host() {
        let credentials = Credentials::new([("KEY".to_owned(), "s3cret".to_owned())]);
        let (here, there) = (
            Url::parse("https://api.openai.com/v1").unwrap(),
            Url::parse("https://evil.test/").unwrap(),
        );
        let send = |url, hosts| {
            let sent = credentials.for_destination("KEY", Destination::fixed(url), &revision(hosts));
            sent.map(str::to_owned)
        };
        assert_eq!(send(&here, "[api.openai.com]").unwrap(), "s3cret");
        let error = send(&there, "[api.openai.com]").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the credential KEY may not be sent to \"evil.test\"; its hosts are [\"api.openai.com\"]"
        );
        assert_eq!(send(&there, "[]").unwrap(), "s3cret");
    }

    #[test]
    fn a_credential_without_hosts_is_not_sent_to_a_host_that_an_argument_can_change() {
        let credentials = Credentials::new([("KEY".to_owned(), "s3cret".to_owned())]);
        let url = Url::parse("https://eu.example.com/").unwrap();
        let destination = Destination {
            url: &url,
            host_is_fixed: false,
        };
        let error = credentials
            .for_destination("KEY", destination, &revision("[]"))
            .unwrap_err();
        assert!(matches!(error, CredentialError::HostsRequired { .. }), "{error}");
        let sent = credentials
            .for_destination("KEY", destination, &revision("['*.example.com']"))
            .is_ok();
        assert!(sent);
    }

    #[test]
    fn a_variable_that_is_no_credential_of_the_revision_is_not_sent() {
        let credentials = Credentials::new([("OTHER".to_owned(), "s3cret".to_owned())]);
        let url = Url::parse("https://example.com/").unwrap();
        let error = credentials
            .for_destination("OTHER", Destination::fixed(&url), &revision("[]"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable OTHER is none of the agent's credentials"
        );
    }

    #[test]
    fn space_around_a_value_is_removed_and_a_value_that_no_header_holds_is_named() {
        let url = Url::parse("https://example.com/").unwrap();
        let send = |value: &str| {
            let credentials = Credentials::new([("KEY".to_owned(), value.to_owned())]);
            let sent = credentials.for_header("KEY", Destination::fixed(&url), &revision("[]"));
            sent.map(str::to_owned).map_err(|error| error.to_string())
        };
        assert_eq!(send("s3cret\n").unwrap(), "s3cret");
        assert_eq!(send(" s3cret\r\n").unwrap(), "s3cret");
        assert_eq!(
            send("s3cret\nsecond line"),
            Err(
                "the value of KEY contains a line break or a control character and cannot be sent in a header"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_credential_with_a_wildcard_is_sent_to_the_subdomains_only() {
        let credentials = Credentials::new([("KEY".to_owned(), "s3cret".to_owned())]);
        let revision = revision("['*.example.com']");
        for (url, is_allowed) in [
            ("https://api.example.com/v1", true),
            ("https://API.Example.com/", true),
            ("https://example.com/", false),
            ("https://api.example.com.evil.test/", false),
            ("https://evilexample.com/", false),
        ] {
            let url = Url::parse(url).unwrap();
            let value = credentials.for_destination("KEY", Destination::fixed(&url), &revision);
            assert_eq!(value.is_ok(), is_allowed, "{url}");
        }
    }

    #[test]
    fn an_agent_cannot_use_reserved_variables() {
        let credentials = Credentials::new([("TEMPORAL_API_KEY".to_owned(), "x".to_owned())]);
        let url = Url::parse("https://evil.test/").unwrap();
        let destination = Destination::fixed(&url);
        let sent = credentials.for_destination("TEMPORAL_API_KEY", destination, &revision("[]"));
        assert!(matches!(sent, Err(CredentialError::Reserved { .. })));
    }

    #[test]
    fn debug_output_shows_no_values() {
        let credentials = Credentials::new([("KEY".to_owned(), "s3cret".to_owned())]);
        assert!(!format!("{credentials:?}").contains("s3cret"));
    }
}

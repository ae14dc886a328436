//! The values of the environment variables that an agent may use, and the hosts
//! that each value may be sent to.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use steadfast_crds::{AgentRevisionSpec, environment::is_reserved};
use url::Url;

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
}

impl Credentials {
    /// Keeps the variables that are not reserved for the worker itself.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let usable = variables.into_iter().filter(|(name, _)| !is_reserved(name));
        Self(usable.map(|(name, value)| (name, SecretString::from(value))).collect())
    }

    /// The value of a variable for a request to this URL.
    pub fn for_url(&self, name: &str, url: &Url, revision: &AgentRevisionSpec) -> Result<&str, CredentialError> {
        let hosts = revision
            .credentials
            .iter()
            .find(|credential| credential.env_var_name == name);
        if let Some(credential) = hosts {
            let host = url.host_str().unwrap_or_default();
            if !credential.hosts.is_empty()
                && !credential
                    .hosts
                    .iter()
                    .any(|allowed| allowed.matches(host, url.port_or_known_default().unwrap_or_default()))
            {
                return Err(CredentialError::HostNotAllowed {
                    name: name.to_owned(),
                    host: host.to_owned(),
                    allowed: credential.hosts.iter().map(ToString::to_string).collect(),
                });
            }
        }
        self.value(name)
    }

    /// The value of a variable, to expand a URL. No request may use it before `for_url` has allowed the URL.
    pub(crate) fn value(&self, name: &str) -> Result<&str, CredentialError> {
        if is_reserved(name) {
            return Err(CredentialError::Reserved { name: name.to_owned() });
        }
        let value = self
            .0
            .get(name)
            .ok_or_else(|| CredentialError::Missing { name: name.to_owned() })?;
        Ok(value.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(hosts: &str) -> AgentRevisionSpec {
        serde_yaml_ng::from_str(&format!(
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
        assert_eq!(
            credentials
                .for_url("KEY", &here, &revision("[api.openai.com]"))
                .unwrap(),
            "s3cret"
        );
        let error = credentials
            .for_url("KEY", &there, &revision("[api.openai.com]"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the credential KEY may not be sent to \"evil.test\"; its hosts are [\"api.openai.com\"]"
        );
        assert_eq!(credentials.for_url("KEY", &there, &revision("[]")).unwrap(), "s3cret");
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
            let value = credentials.for_url("KEY", &url, &revision);
            assert_eq!(value.is_ok(), is_allowed, "{url}");
        }
    }

    #[test]
    fn an_agent_cannot_use_reserved_variables() {
        let credentials = Credentials::new([("TEMPORAL_API_KEY".to_owned(), "x".to_owned())]);
        let url = Url::parse("https://evil.test/").unwrap();
        assert!(credentials.for_url("TEMPORAL_API_KEY", &url, &revision("[]")).is_err());
    }

    #[test]
    fn debug_output_shows_no_values() {
        let credentials = Credentials::new([("KEY".to_owned(), "s3cret".to_owned())]);
        assert!(!format!("{credentials:?}").contains("s3cret"));
    }
}

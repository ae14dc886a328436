//! The hosts to which a credential may be sent: one host, or every host below
//! a domain, with or without a port. Pure; nothing here resolves a name.

use std::{borrow::Cow, fmt, net::Ipv4Addr, str::FromStr, sync::LazyLock};

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The only definition of the syntax: [`HostPattern::from_str`] and the schema at admission both use it.
///
/// An optional `*.`, then a DNS name or an IPv4 address; or an IPv6 address in brackets; then an optional port.
const SYNTAX: &str = concat!(
    r"^((\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*",
    r"|\[[0-9A-Fa-f:.]{2,45}\])",
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$"
);

/// The longest DNS name.
const MAXIMUM_BYTES: usize = 253;

#[expect(
    clippy::expect_used,
    reason = "the pattern is a constant; every test of this module compiles it"
)]
static REGEX: LazyLock<Regex> = LazyLock::new(|| Regex::new(SYNTAX).expect("a valid regular expression"));

/// A host, or all hosts below a domain, to which a credential may be sent.
///
/// `api.example.com` matches this host only. `*.example.com` matches every name with one or more labels before
/// `.example.com`, and not `example.com` itself. With `:8443` a pattern matches this port only; without a port it
/// matches every port. Letter case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    domain: Domain,
    port: Option<u16>,
}

/// The part of a pattern before the port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Domain {
    Exact(String),
    /// The domain below which every host matches, without `*.`.
    Below(String),
}

/// Why a text is not a host pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a host: write a host name (api.example.com), all names below a domain (*.example.com) \
     or an IP address, each with an optional port (:8443)"
)]
pub struct InvalidHostPattern {
    text: String,
}

impl HostPattern {
    /// Whether the pattern matches a host and a port.
    ///
    /// The host is written as in a URL: punycode, and an IPv6 address in brackets. A wildcard matches no IP address.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        let domain_matches = match &self.domain {
            Domain::Exact(name) => *name == host,
            Domain::Below(domain) => is_below(&host, domain),
        };
        domain_matches && self.port.is_none_or(|own| own == port)
    }

    /// The host, and the port if there is one, of a pattern without a wildcard.
    #[must_use]
    pub fn exact(&self) -> Option<String> {
        match &self.domain {
            Domain::Exact(_) => Some(self.to_string()),
            Domain::Below(_) => None,
        }
    }
}

/// Whether `host` is a name with one or more labels before `.domain`.
fn is_below(host: &str, domain: &str) -> bool {
    let labels = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    labels.is_some_and(|labels| !labels.is_empty()) && host.parse::<Ipv4Addr>().is_err()
}

impl FromStr for HostPattern {
    type Err = InvalidHostPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidHostPattern { text: text.to_owned() };
        let parts = REGEX.captures(text).filter(|_| text.len() <= MAXIMUM_BYTES);
        let parts = parts.ok_or_else(invalid)?;
        let host = parts.get(1).ok_or_else(invalid)?.as_str().to_ascii_lowercase();
        let port = parts.iter().last().flatten();
        let port = port.map(|port| port.as_str().parse()).transpose();
        Ok(Self {
            domain: match host.strip_prefix("*.") {
                Some(domain) => Domain::Below(domain.to_owned()),
                None => Domain::Exact(host),
            },
            port: port.map_err(|_| invalid())?,
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.domain {
            Domain::Exact(name) => formatter.write_str(name)?,
            Domain::Below(domain) => write!(formatter, "*.{domain}")?,
        }
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidHostPattern;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl JsonSchema for HostPattern {
    fn schema_name() -> Cow<'static, str> {
        "HostPattern".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": MAXIMUM_BYTES, "pattern": SYNTAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_its_host_or_the_hosts_below_its_domain() {
        let cases = [
            ("api.example.com", "api.example.com", 443, true),
            ("API.Example.com", "api.EXAMPLE.com", 443, true),
            ("api.example.com", "api.example.com", 8443, true),
            ("api.example.com", "v1.api.example.com", 443, false),
            ("api.example.com", "example.com", 443, false),
            ("api.example.com", "api.example.com.evil.test", 443, false),
            ("*.example.com", "api.example.com", 443, true),
            ("*.Example.com", "v1.API.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", ".example.com", 443, false),
            ("*.example.com", "badexample.com", 443, false),
            ("*.example.com", "api.example.com.evil.test", 443, false),
            ("orders", "orders", 80, true),
            ("orders", "orders.team", 80, false),
            ("api.example.com:8443", "api.example.com", 8443, true),
            ("api.example.com:8443", "api.example.com", 443, false),
            ("*.example.com:8443", "api.example.com", 8443, true),
            ("*.example.com:8443", "api.example.com", 443, false),
            ("127.0.0.1", "127.0.0.1", 80, true),
            ("*.0.0.1", "127.0.0.1", 80, false),
            ("[::1]", "[::1]", 80, true),
            ("[::1]:8080", "[::1]", 80, false),
        ];
        for (pattern, host, port, expected) in cases {
            let parsed: HostPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(host, port), expected, "{pattern} and {host}:{port}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("{}.test", "a.".repeat(125));
        for text in [
            "",
            "*",
            "*.",
            "*example.com",
            "*.*.example.com",
            "api.*.com",
            "https://api.example.com",
            "api.example.com/v1",
            "api.example.com.",
            ".example.com",
            "api..com",
            "-api.example.com",
            "api.example.com:",
            "api.example.com:0",
            "api.example.com:65536",
            "user@example.com",
            "a b",
            "münchen.example",
            "::1",
            "[::1",
            "api.example.com\n",
            &long,
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_is_read() {
        for text in ["orders", "*.example.com", "api.example.com:8443", "[::1]:65535"] {
            let pattern: HostPattern = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(&pattern).unwrap(), text);
        }
        assert_eq!(
            "orders:80".parse::<HostPattern>().unwrap().exact().unwrap(),
            "orders:80"
        );
        assert_eq!("*.example.com".parse::<HostPattern>().unwrap().exact(), None);
    }

    #[test]
    fn the_error_says_what_to_write() {
        assert_eq!(
            "https://a".parse::<HostPattern>().unwrap_err().to_string(),
            "\"https://a\" is not a host: write a host name (api.example.com), all names below a domain \
             (*.example.com) or an IP address, each with an optional port (:8443)"
        );
    }
}

//! Sign-in at a proxy in front of the gateway, which names the user in a header. Pure.
//!
//! Anybody can write a header, so only a trusted proxy's is taken, and whoever else sends it is refused. A browser adds
//! the proxy's cookie to the requests of any page, so that requests of other pages that change something are refused.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, Method, header};

use super::{AUTHENTICATED, MAX_GROUPS, User, is_reserved};
use crate::error::ApiError;

/// What a browser says of the page that sends a request.
/// Source: <https://www.w3.org/TR/fetch-metadata/>
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// No directory has longer names.
const MAX_NAME_BYTES: usize = 1024;

/// Headers in which a proxy names the user who has signed in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    pub user_header: HeaderName,
    /// The user's groups, with commas between them. No groups where absent.
    pub groups_header: Option<HeaderName>,
}

/// Who has sent the bytes of a request: the next hop, not the client behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    TrustedProxy,
    Anybody,
}

/// Why the user of a header is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the header {0} is taken from the proxies of gateway.trustedProxies alone, and it came from elsewhere")]
    NotTrusted(HeaderName),
    #[error("the request has the header {0} more than once: the proxy must replace what clients send")]
    Repeated(HeaderName),
    #[error("the header {0} is not a text of at most {MAX_NAME_BYTES} bytes")]
    Unreadable(HeaderName),
    #[error("the header {0} names more than {MAX_GROUPS} groups")]
    TooManyGroups(HeaderName),
    #[error("{0:?} is a name that Kubernetes keeps for itself: names that begin with \"system:\"")]
    Reserved(String),
    #[error("a page of another origin has sent this request, with the sign-in of the user at the proxy")]
    OtherPage,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OtherPage => Self::new(axum::http::StatusCode::FORBIDDEN, refusal.to_string()),
            refusal => Self::unauthorized(refusal.to_string()),
        }
    }
}

impl ProxySettings {
    /// The user whom the proxy names; `None` where it names nobody.
    pub(super) fn user(&self, method: &Method, headers: &HeaderMap, hop: Hop) -> Result<Option<User>, Refusal> {
        if hop == Hop::Anybody {
            let sent = [Some(&self.user_header), self.groups_header.as_ref()];
            return match sent.into_iter().flatten().find(|name| headers.contains_key(*name)) {
                Some(name) => Err(Refusal::NotTrusted(name.clone())),
                None => Ok(None),
            };
        }
        // A proxy that lets everybody through to some paths sends an empty name there.
        let Some(name) = text(headers, &self.user_header)?.filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        if name.len() > MAX_NAME_BYTES {
            return Err(Refusal::Unreadable(self.user_header.clone()));
        }
        if is_reserved(name) {
            return Err(Refusal::Reserved(name.to_owned()));
        }
        if !method.is_safe() && is_of_another_page(headers) {
            return Err(Refusal::OtherPage);
        }
        Ok(Some(User {
            name: name.to_owned(),
            groups: self.groups(headers)?,
            ..User::default()
        }))
    }

    fn groups(&self, headers: &HeaderMap) -> Result<Vec<String>, Refusal> {
        let mut groups = Vec::new();
        if let Some(header) = &self.groups_header {
            let named = text(headers, header)?.unwrap_or_default().split(',').map(str::trim);
            for group in named.filter(|group| !group.is_empty()) {
                if is_reserved(group) {
                    return Err(Refusal::Reserved(group.to_owned()));
                }
                if groups.len() == MAX_GROUPS {
                    return Err(Refusal::TooManyGroups(header.clone()));
                }
                groups.push(group.to_owned());
            }
        }
        groups.push(AUTHENTICATED.to_owned());
        Ok(groups)
    }
}

/// The value of a header that comes once. What a client wrote beside it would be a second one.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::Repeated(name.clone()));
    }
    let text = str::from_utf8(value.as_bytes()).map_err(|_| Refusal::Unreadable(name.clone()))?;
    Ok(Some(text.trim()))
}

/// Whether a browser sends this for a page of another origin. Programs that are no browsers say nothing of pages.
fn is_of_another_page(headers: &HeaderMap) -> bool {
    let value = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (value(&FETCH_SITE), value(&header::ORIGIN)) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        // A browser from before 2023.
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_none() || host != value(&header::HOST)
        }
        (None, None) => false,
    }
}

impl fmt::Display for ProxySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.user_header)?;
        match &self.groups_header {
            Some(groups) => write!(formatter, ", {groups}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ProxySettings {
        ProxySettings {
            user_header: HeaderName::from_static("x-forwarded-user"),
            groups_header: Some(HeaderName::from_static("x-forwarded-groups")),
        }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn user(hop: Hop, lines: &[(&'static str, &str)]) -> Result<Option<(String, Vec<String>)>, Refusal> {
        let user = settings().user(&Method::GET, &headers(lines), hop)?;
        Ok(user.map(|user| (user.name, user.groups)))
    }

    const ALICE: (&str, &str) = ("x-forwarded-user", "alice@example.com");

    #[test]
    fn a_trusted_proxy_names_the_user_and_their_groups() {
        let named = |groups: &[&str]| {
            let groups = groups.iter().map(|&group| group.to_owned()).collect();
            Ok(Some(("alice@example.com".to_owned(), groups)))
        };
        assert_eq!(user(Hop::TrustedProxy, &[ALICE]), named(&[AUTHENTICATED]));
        let groups = ("x-forwarded-groups", "chat, on-call,,");
        assert_eq!(
            user(Hop::TrustedProxy, &[ALICE, groups]),
            named(&["chat", "on-call", AUTHENTICATED])
        );
        for nobody in [
            &[][..],
            &[("x-forwarded-user", "")],
            &[("x-forwarded-user", " "), groups],
        ] {
            assert_eq!(user(Hop::TrustedProxy, nobody), Ok(None), "{nobody:?}");
        }
    }

    #[test]
    fn whoever_else_sends_a_header_of_the_proxy_is_refused() {
        for name in ["x-forwarded-user", "x-forwarded-groups"] {
            let refused = user(Hop::Anybody, &[(name, "alice")]);
            assert_eq!(refused, Err(Refusal::NotTrusted(HeaderName::from_static(name))));
        }
        assert_eq!(user(Hop::Anybody, &[("authorization", "Bearer a")]), Ok(None));
    }

    #[test]
    fn what_a_client_wrote_beside_the_proxy_is_refused() {
        for name in ["x-forwarded-user", "x-forwarded-groups"] {
            let twice = user(Hop::TrustedProxy, &[ALICE, (name, "root"), (name, "chat")]);
            assert_eq!(twice, Err(Refusal::Repeated(HeaderName::from_static(name))));
        }
    }

    #[test]
    fn a_proxy_names_nobody_whom_kubernetes_names() {
        let reserved = |name: &str| Err(Refusal::Reserved(name.to_owned()));
        assert_eq!(
            user(Hop::TrustedProxy, &[("x-forwarded-user", "system:admin")]),
            reserved("system:admin")
        );
        let groups = ("x-forwarded-groups", "chat,system:masters");
        assert_eq!(user(Hop::TrustedProxy, &[ALICE, groups]), reserved("system:masters"));
    }

    #[test]
    fn names_and_groups_are_bounded() {
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        let header = HeaderName::from_static("x-forwarded-user");
        assert_eq!(
            user(Hop::TrustedProxy, &[("x-forwarded-user", &long)]),
            Err(Refusal::Unreadable(header))
        );
        let many = vec!["g"; MAX_GROUPS + 1].join(",");
        let header = HeaderName::from_static("x-forwarded-groups");
        assert_eq!(
            user(Hop::TrustedProxy, &[ALICE, ("x-forwarded-groups", &many)]),
            Err(Refusal::TooManyGroups(header))
        );
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let host = ("host", "agents.example.com");
        for (lines, is_refused) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[host, ("origin", "https://agents.example.com")], false),
            (&[host, ("origin", "https://evil.example.com")], true),
            (&[host, ("origin", "null")], true),
        ] {
            let headers = headers(&[&[ALICE], lines].concat());
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                let user = settings().user(&method, &headers, Hop::TrustedProxy);
                assert_eq!(user == Err(Refusal::OtherPage), is_refused, "{method} {lines:?}");
            }
            // No page of another origin can read what this answers.
            assert!(settings().user(&Method::GET, &headers, Hop::TrustedProxy).is_ok());
        }
    }
}

//! The ways in which people sign in, for pages that let them choose. Nothing here is secret: a page knows it before
//! anybody has signed in.

use reqwest::Url;

use super::{Access, OidcError, OidcSettings};

/// Without it, an issuer gives no ID token.
const OPENID: &str = "openid";

/// How the console signs people in at the OpenID Connect issuer: as a public client, without a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcLogin {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    /// Scheme, host and port of the issuer: where the page may send requests to.
    origin: String,
}

impl OidcLogin {
    /// A login at the issuer of these settings, whose ID tokens the gateway accepts.
    pub fn new(settings: &OidcSettings, client_id: &str, scopes: Vec<String>) -> Result<Self, OidcError> {
        // An ID token is for the client that it was given to, and for nobody else.
        if !settings.audiences.iter().any(|audience| audience == client_id) {
            return Err(OidcError::ClientIsNoAudience(client_id.to_owned()));
        }
        if !scopes.iter().any(|scope| scope == OPENID) {
            return Err(OidcError::NoOpenIdScope);
        }
        let url = settings.issuer.parse::<Url>().ok();
        let origin = url.map(|url| url.origin().ascii_serialization()).filter(|origin| {
            // It becomes part of a header with a syntax of its own.
            let is_plain = |character: char| character.is_ascii_alphanumeric() || ":/.-[]".contains(character);
            origin.chars().all(is_plain) && origin.contains("://")
        });
        Ok(Self {
            origin: origin.ok_or_else(|| OidcError::Issuer(settings.issuer.clone()))?,
            issuer: settings.issuer.clone(),
            client_id: client_id.to_owned(),
            scopes,
        })
    }

    /// Scheme, host and port of the issuer.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// The ways that a gateway accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignInWays<'a> {
    /// Nobody signs in.
    None,
    Some {
        /// A proxy in front of the gateway names who has signed in there.
        proxy: bool,
        api_keys: bool,
        oidc: Option<&'a OidcLogin>,
    },
}

impl Access {
    pub(crate) fn sign_in_ways(&self) -> SignInWays<'_> {
        match self {
            Self::Anonymous => SignInWays::None,
            Self::Kubernetes(kubernetes) => SignInWays::Some {
                proxy: kubernetes.proxy.is_some(),
                api_keys: kubernetes.api_keys.is_some(),
                oidc: kubernetes.oidc_login.as_ref(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(issuer: &str, client_id: &str, scopes: &[&str]) -> Result<OidcLogin, OidcError> {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        OidcLogin::new(&OidcSettings::new(issuer, &["console", "chat"]), client_id, scopes)
    }

    #[test]
    fn a_page_may_reach_the_origin_of_the_issuer_and_nothing_else() {
        for (issuer, origin) in [
            ("https://login.example.com/realms/team", "https://login.example.com"),
            ("https://LOGIN.example.com:8443/", "https://login.example.com:8443"),
            ("https://login.example.com:443", "https://login.example.com"),
        ] {
            assert_eq!(login(issuer, "console", &["openid"]).unwrap().origin(), origin);
        }
        for issuer in [
            "https://a;script-src.example.com",
            "https://*.example.com",
            "https://a,b.example.com",
            "data:x",
        ] {
            assert!(login(issuer, "console", &["openid"]).is_err(), "{issuer}");
        }
    }

    #[test]
    fn a_login_whose_tokens_would_be_refused_is_an_error() {
        const ISSUER: &str = "https://login.example.com";
        assert!(matches!(
            login(ISSUER, "another", &["openid"]),
            Err(OidcError::ClientIsNoAudience(client)) if client == "another"
        ));
        assert!(matches!(
            login(ISSUER, "console", &["profile"]),
            Err(OidcError::NoOpenIdScope)
        ));
    }
}

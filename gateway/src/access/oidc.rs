//! Tokens of an OpenID Connect issuer. The gateway verifies them itself, with the keys that the issuer publishes: the
//! API server need not know the issuer, and is not asked who somebody is. What is allowed is asked of Kubernetes.
//!
//! Keys that were fetched are used for as long as the issuer is away. Without any key nobody is let in.

mod keys;
mod token;

use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use steadfast_bounds::json;
use steadfast_process::outbound::{CONNECT_TIMEOUT, Outbound};
use tokio::{sync::Mutex, time::Instant};

use self::keys::KeySet;
pub(super) use self::token::{Refusal, Token};
use super::User;
use crate::error::ApiError;

/// For each of the two documents.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest document of an issuer; real ones have some kilobytes.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// A claim whose value is unique beyond the issuer, which needs no prefix.
const EMAIL: &str = "email";

/// Whose tokens are accepted, and how a user is named after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// The URL of the issuer, exactly as in the claim `iss`.
    pub issuer: String,
    /// Audiences of which a token must have one.
    pub audiences: Vec<String>,
    pub username_claim: String,
    pub username_prefix: String,
    /// No groups where absent.
    pub groups_claim: Option<String>,
    pub groups_prefix: String,
}

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    #[error("the URL of the OpenID Connect issuer {0:?} is not an https:// URL without a query")]
    Issuer(String),
    #[error("tokens of an OpenID Connect issuer need an audience: the client id of the application")]
    NoAudience,
    #[error("the client id {0:?} is not among the audiences: an ID token is for the client that it was given to")]
    ClientIsNoAudience(String),
    #[error("the scopes have no \"openid\", without which the issuer gives no ID token")]
    NoOpenIdScope,
    #[error("the HTTP client for the OpenID Connect issuer cannot be built")]
    Client(#[source] reqwest::Error),
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the request to {0} failed")]
    Request(String, #[source] reqwest::Error),
    #[error("{0} answered with status {1}")]
    Status(String, u16),
    #[error("{0} is longer than {MAX_DOCUMENT_BYTES} bytes")]
    TooLong(String),
    #[error("{0} cannot be read")]
    Malformed(String, #[source] json::ReadError),
    #[error("the discovery document is that of the issuer {0:?}")]
    OtherIssuer(String),
    #[error("the URL of the keys {0:?} is not an https:// URL")]
    KeysUrl(String),
    #[error("the issuer publishes no key that can be used")]
    NoKeys,
}

/// An issuer and its keys; clones share them.
#[derive(Clone, Debug)]
pub struct Oidc(Arc<Issuer>);

#[derive(Debug)]
struct Issuer {
    settings: OidcSettings,
    client: Client,
    times: RefreshTimes,
    keys: RwLock<Fetched>,
    /// Held while the keys are fetched: who comes meanwhile waits for the same keys.
    last_fetch: Mutex<Option<LastFetch>>,
}

#[derive(Clone, Copy, Debug)]
struct RefreshTimes {
    /// The age at which keys are fetched again: a key that the issuer has withdrawn is refused soon after this.
    after: Duration,
    /// The issuer is asked no more often, however many tokens name a key that is not known.
    pause: Duration,
}

impl Default for RefreshTimes {
    fn default() -> Self {
        Self {
            after: Duration::from_mins(5),
            pause: Duration::from_secs(10),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Fetched {
    keys: Arc<KeySet>,
    at: Option<Instant>,
}

#[derive(Debug)]
struct LastFetch {
    began: Instant,
    error: Option<Arc<FetchError>>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl OidcSettings {
    /// The settings that Kubernetes' API server has by default.
    pub fn new(issuer: &str, audiences: &[&str]) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: audiences.iter().map(|&audience| audience.to_owned()).collect(),
            username_claim: "sub".to_owned(),
            username_prefix: Self::default_username_prefix(issuer, "sub"),
            groups_claim: None,
            groups_prefix: String::new(),
        }
    }

    /// Without a prefix of its own, a user is not taken for one of another issuer.
    pub fn default_username_prefix(issuer: &str, username_claim: &str) -> String {
        if username_claim == EMAIL {
            String::new()
        } else {
            format!("{issuer}#")
        }
    }
}

impl Oidc {
    pub fn new(settings: OidcSettings, outbound: &Outbound) -> Result<Self, OidcError> {
        Self::with_times(settings, outbound, RefreshTimes::default())
    }

    fn with_times(settings: OidcSettings, outbound: &Outbound, times: RefreshTimes) -> Result<Self, OidcError> {
        let is_usable = settings
            .issuer
            .parse::<Url>()
            .is_ok_and(|url| is_confidential(&url) && url.query().is_none() && url.fragment().is_none());
        if !is_usable {
            return Err(OidcError::Issuer(settings.issuer));
        }
        if settings.audiences.is_empty() {
            return Err(OidcError::NoAudience);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            // The keys are those of the URL that was configured.
            .redirect(redirect::Policy::none());
        let client = outbound.apply(client).build().map_err(OidcError::Client)?;
        Ok(Self(Arc::new(Issuer {
            settings,
            client,
            times,
            keys: RwLock::default(),
            last_fetch: Mutex::default(),
        })))
    }

    /// The token, if this is a token of the issuer by its own word.
    pub(super) fn token<'a>(&self, text: &'a str) -> Option<Token<'a>> {
        Token::read(text).filter(|token| token.is_of(&self.0.settings.issuer))
    }

    /// The user of a token as of now.
    pub(super) async fn user(&self, token: &Token<'_>) -> Result<Result<User, Refusal>, ApiError> {
        // The claims first: no token that is refused anyway makes the gateway ask the issuer.
        let user = match token.user(&self.0.settings, Timestamp::now()) {
            Ok(user) => user,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let keys = self.keys_for(token).await?;
        Ok(keys.verify(token).map(|()| user))
    }

    /// The keys to verify a token with: those that are known, where they know its key.
    async fn keys_for(&self, token: &Token<'_>) -> Result<Arc<KeySet>, ApiError> {
        let Fetched { keys, at } = self.0.fetched();
        if !keys.knows(token) {
            self.0.fetch_soon().await?;
            return Ok(self.0.fetched().keys);
        }
        if at.is_none_or(|at| at.elapsed() >= self.0.times.after) && self.0.last_fetch.try_lock().is_ok() {
            let issuer = self.0.clone();
            tokio::spawn(async move {
                // Logged where it fails; the keys that are known are used meanwhile.
                let _ = issuer.fetch_soon().await;
            });
        }
        Ok(keys)
    }
}

impl Issuer {
    fn fetched(&self) -> Fetched {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys, unless they were fetched a moment ago.
    async fn fetch_soon(&self) -> Result<(), ApiError> {
        let mut last = self.last_fetch.lock().await;
        if let Some(last) = last.as_ref().filter(|last| last.began.elapsed() < self.times.pause) {
            return match &last.error {
                None => Ok(()),
                Some(error) => Err(unavailable(error)),
            };
        }
        let began = Instant::now();
        let error = match self.fetch().await {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Fetched {
                    keys: Arc::new(keys),
                    at: Some(Instant::now()),
                };
                None
            }
            Err(error) => {
                tracing::warn!(
                    issuer = self.settings.issuer,
                    error = &error as &dyn std::error::Error,
                    "the keys of the OpenID Connect issuer cannot be fetched; those that are known stay in use"
                );
                Some(Arc::new(error))
            }
        };
        let answer = error.as_ref().map_or(Ok(()), |error| Err(unavailable(error)));
        *last = Some(LastFetch { began, error });
        answer
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let issuer = &self.settings.issuer;
        let url = format!("{}{DISCOVERY_PATH}", issuer.trim_end_matches('/'));
        let document = self.get(&url).await?;
        let discovery: Discovery = json::read(&document).map_err(|error| FetchError::Malformed(url, error))?;
        if discovery.issuer != *issuer {
            return Err(FetchError::OtherIssuer(discovery.issuer));
        }
        let url = discovery.jwks_uri;
        if !url.parse::<Url>().is_ok_and(|url| is_confidential(&url)) {
            return Err(FetchError::KeysUrl(url));
        }
        let document = self.get(&url).await?;
        let keys = KeySet::read(&document).map_err(|error| FetchError::Malformed(url, error))?;
        if keys.is_empty() {
            Err(FetchError::NoKeys)
        } else {
            Ok(keys)
        }
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let failed = |error| FetchError::Request(url.to_owned(), error);
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(FetchError::Status(url.to_owned(), response.status().as_u16()));
        }
        let mut document = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if document.len() + piece.len() > MAX_DOCUMENT_BYTES {
                return Err(FetchError::TooLong(url.to_owned()));
            }
            document.extend_from_slice(&piece);
        }
        Ok(document)
    }
}

fn unavailable(error: &Arc<FetchError>) -> ApiError {
    ApiError::unavailable("the OpenID Connect issuer", error.clone())
}

/// Whether nobody between can change what a URL answers: keys from elsewhere would let anybody in.
fn is_confidential(url: &Url) -> bool {
    let address = url
        .host_str()
        .map(|host| host.trim_matches(['[', ']']).parse::<IpAddr>());
    let is_loopback = matches!(address, Some(Ok(address)) if address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::json;
    use steadfast_testkit::OidcIssuer;

    use super::*;

    const AT_ONCE: RefreshTimes = RefreshTimes {
        after: Duration::ZERO,
        pause: Duration::ZERO,
    };

    async fn issuer(times: RefreshTimes) -> (OidcIssuer, Oidc) {
        steadfast_process::crypto::install();
        let issuer = OidcIssuer::start().await.unwrap();
        let settings = OidcSettings::new(&issuer.url, &["steadfast"]);
        let oidc = Oidc::with_times(settings, &Outbound::default(), times).unwrap();
        (issuer, oidc)
    }

    fn token(issuer: &OidcIssuer, audience: &str) -> String {
        issuer.token(audience, "alice", &json!({})).unwrap()
    }

    async fn name(oidc: &Oidc, token: &str) -> Result<Result<String, Refusal>, ApiError> {
        let token = oidc.token(token).expect("a token of the issuer");
        let user = oidc.user(&token).await?;
        Ok(user.map(|user| user.name))
    }

    #[tokio::test]
    async fn a_token_is_verified_with_the_keys_that_the_issuer_publishes() {
        let (issuer, oidc) = issuer(RefreshTimes::default()).await;
        let token = token(&issuer, "steadfast");
        let expected = Ok(format!("{}#alice", issuer.url));
        for _ in 0..10 {
            assert_eq!(name(&oidc, &token).await.unwrap(), expected);
        }
        assert_eq!(issuer.fetches(), 1, "the keys are fetched once");
        assert!(oidc.token("sfk_abc").is_none());
        let other = OidcSettings::new("https://issuer.example.com", &["steadfast"]);
        let other = Oidc::new(other, &Outbound::default()).unwrap();
        assert!(other.token(&token).is_none());
    }

    #[tokio::test]
    async fn a_new_key_is_fetched_when_a_token_names_it() {
        let (issuer, oidc) = issuer(AT_ONCE).await;
        let old = token(&issuer, "steadfast");
        assert!(name(&oidc, &old).await.unwrap().is_ok());
        issuer.rotate().unwrap();
        assert!(name(&oidc, &token(&issuer, "steadfast")).await.unwrap().is_ok());
        // The issuer has withdrawn the key.
        assert_eq!(name(&oidc, &old).await.unwrap(), Err(Refusal::UnknownKey));
    }

    #[tokio::test]
    async fn tokens_of_unknown_keys_do_not_make_the_gateway_ask_all_the_time() {
        let (issuer, oidc) = issuer(RefreshTimes::default()).await;
        let forged = issuer.token_of_unknown_key("steadfast", "alice").unwrap();
        for _ in 0..100 {
            assert_eq!(name(&oidc, &forged).await.unwrap(), Err(Refusal::UnknownKey));
        }
        assert_eq!(issuer.fetches(), 1);
    }

    #[tokio::test]
    async fn known_keys_live_on_while_the_issuer_is_away_and_without_keys_nobody_gets_in() {
        let (issuer, oidc) = issuer(AT_ONCE).await;
        let token = token(&issuer, "steadfast");
        issuer.fail(true);
        let error = name(&oidc, &token).await.unwrap_err();
        assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
        issuer.fail(false);
        assert!(name(&oidc, &token).await.unwrap().is_ok());
        issuer.fail(true);
        let fetched = issuer.fetches();
        while issuer.fetches() < fetched + 3 {
            assert!(name(&oidc, &token).await.unwrap().is_ok());
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn no_token_of_another_audience_makes_the_gateway_ask() {
        let (issuer, oidc) = issuer(AT_ONCE).await;
        let refused = name(&oidc, &token(&issuer, "other")).await.unwrap();
        assert_eq!(refused, Err(Refusal::Audience));
        assert_eq!(issuer.fetches(), 0);
    }

    #[test]
    fn an_issuer_is_reached_by_tls() {
        steadfast_process::crypto::install();
        let refused = |issuer: &str, audiences: &[&str]| {
            Oidc::new(OidcSettings::new(issuer, audiences), &Outbound::default()).unwrap_err()
        };
        for issuer in ["http://issuer.example.com", "issuer.example.com", "https://a?b=c", ""] {
            assert!(
                matches!(refused(issuer, &["steadfast"]), OidcError::Issuer(_)),
                "{issuer}"
            );
        }
        assert!(matches!(refused("https://a", &[]), OidcError::NoAudience));
    }
}

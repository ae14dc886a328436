//! Who sent a request, and by which kind of credential: an API key, a token of the configured issuer, a token that
//! the Kubernetes API server knows, or the word of a proxy. The kind of a token is decided by it alone, so that no credential is tried at a place
//! that it is not for.

use std::net::IpAddr;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{
    KubernetesAccess, User,
    api_keys::{ApiKeys, KeyRefusal},
};
use crate::error::ApiError;

/// No issuer makes longer ones.
pub(super) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// How a caller has shown who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Not at all.
    None,
    /// A token that the API server has reviewed.
    ClusterToken,
    /// A token of the OpenID Connect issuer.
    OidcToken,
    /// An API key, by its name.
    ApiKey(String),
    /// A header of a trusted proxy.
    ProxyHeader,
}

impl Credential {
    /// The kind, for the audit log.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClusterToken => "cluster_token",
            Self::OidcToken => "oidc_token",
            Self::ApiKey(_) => "api_key",
            Self::ProxyHeader => "proxy_header",
        }
    }

    /// The name of the key, if it is one.
    pub(crate) fn key_name(&self) -> &str {
        match self {
            Self::ApiKey(name) => name,
            Self::None | Self::ClusterToken | Self::OidcToken | Self::ProxyHeader => "",
        }
    }
}

impl KubernetesAccess {
    /// The user of a token; an error with the remedy where it is not valid.
    pub(super) async fn identify(&self, token: &str, peer: Option<IpAddr>) -> Result<(User, Credential), ApiError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(ApiError::unauthorized(format!(
                "the bearer token is not valid: it is longer than {MAX_TOKEN_BYTES} bytes"
            )));
        }
        if ApiKeys::is_key(token) {
            return self.identify_key(token, peer).await;
        }
        if let Some(oidc) = &self.oidc
            && let Some(parsed) = oidc.token(token)
        {
            return match oidc.user(&parsed).await? {
                Ok(user) => Ok((user, Credential::OidcToken)),
                Err(refusal) => {
                    self.refuse(token, peer, format!("the bearer token is not valid: {refusal}"))
                        .await
                }
            };
        }
        let user = self.review_token(token, peer).await?;
        let user = user.ok_or_else(|| ApiError::unauthorized("the bearer token is not valid"))?;
        Ok((user, Credential::ClusterToken))
    }

    async fn identify_key(&self, key: &str, peer: Option<IpAddr>) -> Result<(User, Credential), ApiError> {
        let Some(keys) = &self.api_keys else {
            return Err(ApiError::unauthorized(
                "the bearer token is an API key, and this gateway accepts none: no Secret with keys is configured",
            ));
        };
        match keys.find(&Sha256::digest(key).into(), Timestamp::now())? {
            Ok(holder) => Ok((holder.user, Credential::ApiKey(holder.key_name))),
            Err(KeyRefusal::Expired) => {
                let message = "the API key is not valid: it has expired".to_owned();
                self.refuse(key, peer, message).await
            }
            Err(KeyRefusal::Unknown) => {
                let message = "the API key is not valid: it is not known, or it was revoked".to_owned();
                self.refuse(key, peer, message).await
            }
        }
    }

    /// Counts a wrong token of an address; beyond many of them the address has to wait.
    async fn refuse<T>(&self, token: &str, peer: Option<IpAddr>, message: String) -> Result<T, ApiError> {
        let hash = Sha256::digest(token).into();
        self.unknown_tokens.admit(&hash, peer).await?;
        self.unknown_tokens.reviewed(hash, false, peer).await;
        Err(ApiError::unauthorized(message))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::json;
    use steadfast_process::outbound::Outbound;
    use steadfast_testkit::OidcIssuer;

    use super::*;
    use crate::access::{CacheAges, Oidc, OidcSettings, testing::FakeCluster};

    fn entry(key: &str, user: &str) -> String {
        let digits = format!("{:x}", Sha256::digest(key));
        json!({"user": user, "sha256": digits}).to_string()
    }

    #[tokio::test]
    async fn each_kind_of_credential_is_shown_to_its_own_judge_alone() {
        steadfast_process::crypto::install();
        let issuer = OidcIssuer::start().await.unwrap();
        let keys = ApiKeys::default();
        keys.replace(Some(("ui-1", &entry("sfk_secret", "ui"))));
        let cluster = FakeCluster::with_user("alice");
        let settings = OidcSettings::new(&issuer.url, &["steadfast"]);
        let access = cluster
            .access(CacheAges::default())
            .with_api_keys(keys.clone())
            .with_oidc(Oidc::new(settings, &Outbound::default()).unwrap());

        let (user, credential) = access.identify("sfk_secret", None).await.unwrap();
        assert_eq!(
            (user.name.as_str(), credential),
            ("ui", Credential::ApiKey("ui-1".to_owned()))
        );
        let token = issuer.token("steadfast", "bob", &json!({})).unwrap();
        let (user, credential) = access.identify(&token, None).await.unwrap();
        assert_eq!(
            (user.name, credential),
            (format!("{}#bob", issuer.url), Credential::OidcToken)
        );
        for refused in [
            "sfk_unknown",
            &issuer.token("other", "bob", &json!({})).unwrap(),
            &issuer.token_of_unknown_key("steadfast", "bob").unwrap(),
        ] {
            let error = access.identify(refused, None).await.unwrap_err();
            assert_eq!(error.status, StatusCode::UNAUTHORIZED, "{refused}");
        }
        assert_eq!(
            cluster.reviews(),
            (0, 0),
            "the API server has seen no key and no token of the issuer"
        );

        let (user, credential) = access.identify("alice", None).await.unwrap();
        assert_eq!((user.name.as_str(), credential), ("alice", Credential::ClusterToken));
        keys.replace(None);
        assert!(
            access.identify("sfk_secret", None).await.is_err(),
            "the key was revoked"
        );
    }

    #[tokio::test]
    async fn who_tries_out_keys_has_to_wait_and_who_has_one_does_not() {
        let keys = ApiKeys::default();
        keys.replace(Some(("ui-1", &entry("sfk_secret", "ui"))));
        let access = FakeCluster::default().access(CacheAges::default()).with_api_keys(keys);
        let mut refused = Vec::new();
        for number in 0..200 {
            let key = format!("sfk_{number}");
            refused.push(access.identify(&key, None).await.unwrap_err().status);
        }
        assert_eq!(refused[99], StatusCode::UNAUTHORIZED);
        assert_eq!(refused[199], StatusCode::TOO_MANY_REQUESTS);
        assert!(access.identify("sfk_secret", None).await.is_ok());
    }

    #[tokio::test]
    async fn a_gateway_without_keys_shows_none_to_the_api_server() {
        let cluster = FakeCluster::with_user("alice");
        let access = cluster.access(CacheAges::default());
        let error = access.identify("sfk_secret", None).await.unwrap_err();
        assert_eq!(error.status, StatusCode::UNAUTHORIZED);
        assert_eq!(cluster.reviews(), (0, 0));
    }
}

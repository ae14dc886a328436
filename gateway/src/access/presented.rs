//! What a request shows of its sender, before anybody has looked whether it is true.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, Request, header},
};
use secrecy::SecretString;

use super::{
    User,
    proxy::{Hop, ProxySettings},
};
use crate::error::ApiError;

/// The edge puts this on requests that a trusted proxy has sent: no header says it, as anybody could send one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromTrustedProxy;

/// A credential as it came, and from which address. A session keeps it, to ask again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presented {
    pub(super) token: Option<SecretString>,
    /// Whom a trusted proxy has named.
    pub(super) proxy_user: Option<User>,
    pub(super) peer: Option<IpAddr>,
}

impl Presented {
    pub(super) fn read<B>(request: &Request<B>, proxy: Option<&ProxySettings>) -> Result<Self, ApiError> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let hop = match request.extensions().get::<FromTrustedProxy>() {
            Some(FromTrustedProxy) => Hop::TrustedProxy,
            None => Hop::Anybody,
        };
        let proxy_user = match proxy {
            Some(proxy) => proxy.user(request.method(), request.headers(), hop)?,
            None => None,
        };
        Ok(Self {
            token: bearer_token(request.headers()).map(SecretString::from),
            proxy_user,
            peer: peer.map(|ConnectInfo(address)| address.ip()),
        })
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_is_accepted() {
        let token = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer_token(&headers).map(str::to_owned)
        };
        assert_eq!(token("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(token("bearer  abc"), Some("abc".to_owned()));
        for value in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(token(value), None, "{value}");
        }
    }
}

//! How people sign in; open to requests without a credential, because the console reads it before anybody signs in.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{access::SignInWays, app::Gateway, error::ErrorBody};

/// A gateway that was started with other settings is noticed at once.
const ASK_AGAIN: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];

/// The ways to sign in. Each request shows its credential by itself: there are no sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignIn {
    /// Nobody signs in: every request is accepted without a credential. Otherwise bearer tokens of the cluster are
    /// accepted, whatever there is besides.
    anonymous: bool,
    /// API keys are accepted as bearer tokens.
    api_keys: bool,
    /// A proxy in front of the gateway names who has signed in there.
    proxy: bool,
    /// A login page in the browser, whose ID token is the bearer token.
    oidc: Option<OidcSignIn>,
}

/// A public client of an OpenID Connect issuer, for the authorization code flow with PKCE.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OidcSignIn {
    issuer: String,
    client_id: String,
    scopes: Vec<String>,
}

/// How people sign in.
#[utoipa::path(
    get,
    path = "/sign-in",
    operation_id = "sign_in",
    tag = "sign-in",
    security(()),
    responses(
        (status = OK, description = "The ways to sign in.", body = SignIn),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn ways(State(gateway): State<Arc<Gateway>>) -> ([(HeaderName, HeaderValue); 1], Json<SignIn>) {
    let ways = match gateway.access.sign_in_ways() {
        SignInWays::None => SignIn {
            anonymous: true,
            api_keys: false,
            proxy: false,
            oidc: None,
        },
        SignInWays::Some { proxy, api_keys, oidc } => SignIn {
            anonymous: false,
            api_keys,
            proxy,
            oidc: oidc.map(|login| OidcSignIn {
                issuer: login.issuer.clone(),
                client_id: login.client_id.clone(),
                scopes: login.scopes.clone(),
            }),
        },
    };
    (ASK_AGAIN, Json(ways))
}

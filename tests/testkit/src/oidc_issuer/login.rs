//! The login page of the issuer: the authorization code flow with PKCE, for public clients. Whoever presses the one link
//! of the page is the user whom the test has chosen. What a client must do, it must do here too, or it gets no token.
//! Source: RFC 6749, RFC 7636, RFC 9207.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Form, Json, Router,
    extract::{Query, State},
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest;
use serde_json::{Value, json};
use uuid::Uuid;

use super::IssuerState;

type Fields = BTreeMap<String, String>;

/// Pages of any origin may call it.
const CORS: [(HeaderName, &str); 1] = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];

/// Who signs in, and what became of it.
#[derive(Debug)]
pub(super) struct Login {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    subject: String,
    claims: Value,
    token_seconds: i64,
    renews: bool,
    /// What was asked for with each code that is not used yet.
    codes: BTreeMap<String, Fields>,
    refresh_tokens: BTreeMap<String, String>,
    grants: Vec<String>,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                subject: "alice".to_owned(),
                claims: json!({}),
                token_seconds: 3600,
                renews: true,
                codes: BTreeMap::new(),
                refresh_tokens: BTreeMap::new(),
                grants: Vec::new(),
            }),
        }
    }
}

impl Login {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sign_in_as(&self, subject: &str, claims: Value) {
        let mut inner = self.lock();
        subject.clone_into(&mut inner.subject);
        inner.claims = claims;
    }

    pub(super) fn token_seconds(&self, seconds: i64) {
        self.lock().token_seconds = seconds;
    }

    pub(super) fn renew(&self, renews: bool) {
        self.lock().renews = renews;
    }

    pub(super) fn grants(&self) -> Vec<String> {
        self.lock().grants.clone()
    }
}

pub(super) fn routes() -> Router<Arc<IssuerState>> {
    Router::new()
        .route("/authorize", get(authorize))
        .route("/token", post(token))
}

/// What the discovery document says of the login.
pub(super) fn endpoints(url: &str) -> Value {
    json!({
        "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
        "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
    })
}

async fn authorize(State(state): State<Arc<IssuerState>>, Query(asked): Query<Fields>) -> Response {
    let has = |name: &str, value: &str| asked.get(name).is_some_and(|given| given == value);
    let is_complete = ["client_id", "redirect_uri", "state", "nonce", "code_challenge"]
        .iter()
        .all(|name| asked.get(*name).is_some_and(|value| !value.is_empty()));
    let has_scope = asked
        .get("scope")
        .is_some_and(|scope| scope.split(' ').any(|scope| scope == "openid"));
    if !is_complete || !has_scope || !has("response_type", "code") || !has("code_challenge_method", "S256") {
        return (StatusCode::BAD_REQUEST, format!("{asked:?}")).into_response();
    }
    let code = Uuid::new_v4().simple().to_string();
    let (back, given) = (asked["redirect_uri"].clone(), asked["state"].clone());
    let mut login = state.login.lock();
    login.codes.insert(code.clone(), asked);
    let encoded_issuer = state.url.replace(':', "%3A").replace('/', "%2F");
    let page = format!(
        "<!doctype html><html lang=en><title>Issuer</title><main><h1>Sign in</h1><a \
         href=\"{back}?code={code}&amp;state={given}&amp;iss={encoded_issuer}\">Go on as {}</a></main>",
        login.subject
    );
    Html(page).into_response()
}

async fn token(State(state): State<Arc<IssuerState>>, Form(form): Form<Fields>) -> Response {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let granted = {
        let mut login = state.login.lock();
        login.grants.push(field("grant_type").to_owned());
        match field("grant_type") {
            "authorization_code" => login.codes.remove(field("code")).filter(|asked| {
                let digest = digest::digest(&digest::SHA256, field("code_verifier").as_bytes());
                asked["code_challenge"] == BASE64_URL_SAFE_NO_PAD.encode(digest)
                    && asked["redirect_uri"] == field("redirect_uri")
                    && asked["client_id"] == field("client_id")
                    && !form.contains_key("client_secret")
            }),
            "refresh_token" if login.renews => login
                .refresh_tokens
                .remove(field("refresh_token"))
                .filter(|client| client == field("client_id"))
                .map(|client| Fields::from([("client_id".to_owned(), client)])),
            _ => None,
        }
    };
    let answer = granted.and_then(|asked| tokens(&state, &asked).ok());
    match answer {
        Some(answer) => (CORS, Json(answer)).into_response(),
        None => (StatusCode::BAD_REQUEST, CORS, Json(json!({"error": "invalid_grant"}))).into_response(),
    }
}

fn tokens(state: &IssuerState, asked: &Fields) -> anyhow::Result<Value> {
    let client = &asked["client_id"];
    let mut login = state.login.lock();
    let now = super::now()?;
    let mut claims = login.claims.clone();
    claims["exp"] = json!(i64::try_from(now)? + login.token_seconds);
    if let Some(nonce) = asked.get("nonce") {
        claims["nonce"] = json!(nonce);
    }
    let refresh_token = Uuid::new_v4().simple().to_string();
    login.refresh_tokens.insert(refresh_token.clone(), client.clone());
    let id_token = state.token(client, &login.subject, &claims)?;
    Ok(json!({
        "token_type": "Bearer", "access_token": "of no use here", "id_token": id_token, "refresh_token": refresh_token,
    }))
}

/// The headers that let a page read a document.
pub(super) fn for_pages(document: Value) -> Response {
    (CORS, Json(document)).into_response()
}

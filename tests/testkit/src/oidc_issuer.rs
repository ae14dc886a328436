//! An OpenID Connect issuer on the loopback address: its discovery document, its keys, its login, and tokens that it has
//! signed.
//! It rotates its key, and fails, as a test tells it to.

mod login;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, anyhow};
use axum::{Json, Router, extract::State, http::StatusCode, response::Response, routing::get};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

const TOKEN_SECONDS: u64 = 3600;

/// A key that signs tokens with ES256.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// A new key with this id.
    pub fn new(id: impl Into<String>) -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let failed = |_| anyhow!("generate a signing key");
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
            .map_err(|error| anyhow!("read a signing key: {error}"))?;
        Ok(Self { id: id.into(), pair })
    }

    /// The public key as a JWK set.
    pub fn key_set(&self) -> Value {
        // 0x04, then both coordinates.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let encode = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": encode(x), "y": encode(y),
        }]})
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> anyhow::Result<String> {
        self.token_with_header(&json!({"alg": "ES256", "typ": "JWT", "kid": self.id}), claims)
    }

    /// A token with this header, signed with ES256 whatever the header says.
    pub fn token_with_header(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| anyhow!("sign a token"))?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// One issuer. Ends when it is dropped.
#[derive(Debug)]
pub struct OidcIssuer {
    /// Its URL, as in the claim `iss`.
    pub url: String,
    state: Arc<IssuerState>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct IssuerState {
    url: String,
    key: Mutex<SigningKey>,
    fails: AtomicBool,
    fetches: AtomicUsize,
    login: login::Login,
}

impl OidcIssuer {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("listen for the issuer")?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(IssuerState {
            url: url.clone(),
            key: Mutex::new(SigningKey::new("1")?),
            fails: AtomicBool::new(false),
            fetches: AtomicUsize::new(0),
            login: login::Login::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .merge(login::routes())
            .with_state(state.clone());
        let serving = tokio::spawn(async move {
            // Ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, state, serving })
    }

    /// A token for an audience and a subject, valid for an hour; `claims` are added, and win.
    pub fn token(&self, audience: &str, subject: &str, claims: &Value) -> anyhow::Result<String> {
        self.state.token(audience, subject, claims)
    }

    /// Such a token, of a key that the issuer does not publish.
    pub fn token_of_unknown_key(&self, audience: &str, subject: &str) -> anyhow::Result<String> {
        SigningKey::new("unknown")?.token(&self.state.claims(audience, subject, &json!({}))?)
    }

    /// From now on, tokens are signed with another key, and the old one is not published any more.
    pub fn rotate(&self) -> anyhow::Result<()> {
        let mut key = self.state.lock();
        let next = key.id.parse::<u32>().unwrap_or_default() + 1;
        *key = SigningKey::new(next.to_string())?;
        Ok(())
    }

    /// Whether every request fails from now on.
    pub fn fail(&self, fails: bool) {
        self.state.fails.store(fails, Ordering::SeqCst);
    }

    /// How often the keys were fetched, or should have been.
    pub fn fetches(&self) -> usize {
        self.state.fetches.load(Ordering::SeqCst)
    }

    /// Whoever signs in at the login page from now on is this user, with these claims.
    pub fn sign_in_as(&self, subject: &str, claims: Value) {
        self.state.login.sign_in_as(subject, claims);
    }

    /// For how long tokens of the login are valid.
    pub fn token_seconds(&self, seconds: i64) {
        self.state.login.token_seconds(seconds);
    }

    /// Whether a refresh token is good for new tokens.
    pub fn renew(&self, renews: bool) {
        self.state.login.renew(renews);
    }

    /// What the token endpoint was asked for, in this order.
    pub fn grants(&self) -> Vec<String> {
        self.state.login.grants()
    }
}

impl IssuerState {
    fn token(&self, audience: &str, subject: &str, claims: &Value) -> anyhow::Result<String> {
        self.lock().token(&self.claims(audience, subject, claims)?)
    }

    fn claims(&self, audience: &str, subject: &str, more: &Value) -> anyhow::Result<Value> {
        let now = now()?;
        let mut claims = json!({
            "iss": self.url, "aud": audience, "sub": subject, "iat": now, "exp": now + TOKEN_SECONDS,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        Ok(claims)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SigningKey> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OidcIssuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn now() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

async fn discovery(State(state): State<Arc<IssuerState>>) -> Result<Response, StatusCode> {
    state.fetches.fetch_add(1, Ordering::SeqCst);
    if state.fails.load(Ordering::SeqCst) {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let mut document = login::endpoints(&state.url);
    document["issuer"] = json!(state.url);
    document["jwks_uri"] = json!(format!("{}/keys", state.url));
    Ok(login::for_pages(document))
}

async fn keys(State(state): State<Arc<IssuerState>>) -> Json<Value> {
    Json(state.key.lock().unwrap_or_else(PoisonError::into_inner).key_set())
}

//! The codec endpoint for Temporal's UI, which shows decrypted payloads by it. Off by default:
//! whoever may use it can read everything that Temporal stores.
//!
//! Temporal's UI sends payloads as JSON with the user's token and the namespace, and gets the
//! same payloads back: decrypted and decompressed. It cannot encrypt: what people send goes
//! through the gateway's other routes.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware,
    routing::post,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use steadfast_payload::plain_form;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{authenticate, extractors::UnreadBody, request_id::identify};
use crate::{
    access::{Action, Caller},
    app::Gateway,
    error::ApiError,
};

/// Temporal's UI names the namespace of the payloads here.
const NAMESPACE: HeaderName = HeaderName::from_static("x-namespace");

/// The payloads of a request and of its response.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Payloads {
    #[serde(default)]
    payloads: Vec<JsonPayload>,
}

/// A payload as Protobuf's JSON has it: bytes are base64.
#[derive(Debug, Deserialize, Serialize)]
struct JsonPayload {
    #[serde(default)]
    metadata: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    data: String,
}

/// The route of the endpoint, for pages of these origins. The URL to set in Temporal's UI ends with `/codec`.
pub fn codec_routes(gateway: Arc<Gateway>, origins: Vec<HeaderValue>) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, NAMESPACE])
        .allow_credentials(true);
    Router::new()
        .route("/codec/decode", post(decode))
        .layer(middleware::from_fn_with_state(gateway.clone(), authenticate))
        // Outside of it: a browser asks for permission without a token.
        .layer(cors)
        .layer(middleware::from_fn(identify))
        .with_state(gateway)
}

async fn decode(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Result<Json<Payloads>, ApiError> {
    authorize(&gateway, &caller, &headers).await?;
    let body = body.read(&gateway, &caller).await?;
    let encoded: Payloads = body.read()?;
    let payloads = encoded.payloads.into_iter().map(|payload| decoded(&gateway, payload));
    Ok(Json(Payloads {
        payloads: payloads.collect::<Result<_, _>>()?,
    }))
}

/// The payloads are those of all agents: the caller must be allowed to read all tasks of all namespaces.
async fn authorize(gateway: &Gateway, caller: &Caller, headers: &HeaderMap) -> Result<(), ApiError> {
    if !gateway.access.allows_everywhere(caller, Action::ReadAllTasks).await? {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "decoding payloads needs the permission to get agents/alltasks in all namespaces",
        ));
    }
    let namespace = gateway.temporal.namespace();
    match headers.get(NAMESPACE) {
        Some(other) if other.as_bytes() != namespace.as_bytes() => Err(ApiError::bad_request(format!(
            "this gateway decodes the payloads of the Temporal namespace {namespace:?} only"
        ))),
        _ => Ok(()),
    }
}

/// A payload that cannot be decoded stays as it is: the UI then shows it as encrypted.
fn decoded(gateway: &Gateway, payload: JsonPayload) -> Result<JsonPayload, ApiError> {
    let encoded = payload.read()?;
    let decoded = gateway.temporal.codec().decode(encoded.clone()).unwrap_or(encoded);
    Ok(JsonPayload::write(&plain_form(decoded)))
}

impl JsonPayload {
    fn read(self) -> Result<Payload, ApiError> {
        let bytes = |text: &str| {
            BASE64_STANDARD
                .decode(text)
                .map_err(|error| ApiError::bad_request(format!("a payload is not base64: {error}")))
        };
        let metadata = self.metadata.iter();
        Ok(Payload {
            metadata: metadata
                .map(|(name, value)| Ok((name.clone(), bytes(value)?)))
                .collect::<Result<_, ApiError>>()?,
            data: bytes(&self.data)?,
            ..Payload::default()
        })
    }

    fn write(payload: &Payload) -> Self {
        let metadata = payload.metadata.iter();
        Self {
            metadata: metadata
                .map(|(name, value)| (name.clone(), BASE64_STANDARD.encode(value)))
                .collect(),
            data: BASE64_STANDARD.encode(&payload.data),
        }
    }
}

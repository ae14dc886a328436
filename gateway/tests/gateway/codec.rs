//! The codec endpoint for Temporal's UI. Who may use it: `access`.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use steadfast_payload::pack;
use steadfast_temporal::Codec;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use tower::ServiceExt as _;

use super::support::{CODEC_ORIGIN, TestGateway, encrypted, without_services};

fn codec() -> Codec {
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("a"), BASE64_STANDARD.encode([7; 32])).unwrap();
    Codec::read(Some(keys.path()), Some("a")).unwrap()
}

/// A payload as Temporal's UI writes it.
fn on_the_wire(payload: &Payload) -> Value {
    let metadata = payload.metadata.iter();
    let metadata: serde_json::Map<String, Value> = metadata
        .map(|(name, value)| (name.clone(), BASE64_STANDARD.encode(value).into()))
        .collect();
    json!({"metadata": metadata, "data": BASE64_STANDARD.encode(&payload.data)})
}

async fn decode(gateway: &TestGateway, namespace: &str, payloads: &[Payload]) -> (StatusCode, Value) {
    let payloads: Vec<Value> = payloads.iter().map(on_the_wire).collect();
    let body = json!({"payloads": payloads}).to_string();
    let request = Request::post("/codec/decode").header("X-Namespace", namespace);
    let answer = gateway.send(request.body(body.into()).unwrap()).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn payloads_are_decrypted_and_decompressed_for_the_ui() {
    let codec = codec();
    let gateway = encrypted(codec.clone());
    let (small, large) = ("small".to_owned(), "large ".repeat(10_000));
    let sent = [
        codec.encode(pack(&small).unwrap()).unwrap(),
        codec.encode(pack(&large).unwrap()).unwrap(),
        pack(&small).unwrap(),
    ];
    let (status, body) = decode(&gateway, "default", &sent).await;
    assert_eq!(status, StatusCode::OK);
    for (payload, expected) in body["payloads"]
        .as_array()
        .unwrap()
        .iter()
        .zip([&small, &large, &small])
    {
        assert_eq!(payload["metadata"]["encoding"], BASE64_STANDARD.encode("json/plain"));
        let data = BASE64_STANDARD.decode(payload["data"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<String>(&data).unwrap(), *expected);
    }
}

#[tokio::test]
async fn a_payload_with_an_unknown_key_stays_as_it_is() {
    let payload = codec().encode(pack(&1).unwrap()).unwrap();
    let (status, body) = decode(&without_services(), "default", std::slice::from_ref(&payload)).await;
    assert_eq!((status, &body["payloads"][0]), (StatusCode::OK, &on_the_wire(&payload)));
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_reason() {
    let gateway = without_services();
    let (status, body) = decode(&gateway, "another", &[]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["message"].as_str().unwrap().contains("\"default\" only"), "{body}");
    for bad in ["no json", "{\"payloads\": [{\"data\": \"%%\"}]}"] {
        let answer = gateway.post("/codec/decode", bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    }
}

#[tokio::test]
async fn only_pages_of_the_configured_origin_may_ask() {
    let gateway = without_services();
    let preflight = async |origin: &str| {
        let request = Request::options("/codec/decode")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header(
                "Access-Control-Request-Headers",
                "authorization,content-type,x-namespace",
            );
        let response = gateway
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let allowed = response.headers().get("Access-Control-Allow-Origin");
        allowed.map(|origin| origin.to_str().unwrap().to_owned())
    };
    assert_eq!(preflight(CODEC_ORIGIN).await.as_deref(), Some(CODEC_ORIGIN));
    assert_eq!(preflight("https://elsewhere.example.com").await, None);
}

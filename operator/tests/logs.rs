//! No log line holds the answers of the API server, whatever the log level.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, client::Body};
use steadfast_process::telemetry;
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lists ConfigMaps of an API server whose answer cannot be decoded. Returns the error and all log lines.
async fn list(filter: impl tracing_subscriber::Layer<Registry> + Send + Sync) -> (String, String) {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(filter).with(layer));
    let service = tower::service_fn(|_: Request<Body>| async {
        let answer =
            r#"{"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {}, "items": [{"data": ["private"]}]}"#;
        Ok::<_, Infallible>(Response::new(Body::from(answer.as_bytes().to_vec())))
    });
    let api: Api<ConfigMap> = Api::all(Client::new(service, "team"));
    let error = api.list(&kube::api::ListParams::default()).await.unwrap_err();
    tracing::info!("the end");
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (error.to_string(), lines)
}

#[tokio::test]
async fn an_answer_that_cannot_be_decoded_is_not_logged() {
    let (error, lines) = list(telemetry::filter("trace").unwrap()).await;
    assert!(error.contains("invalid type"), "{error}");
    assert!(lines.contains("the end") && !lines.contains("private"), "{lines}");
    // Without the filter it would be.
    let (_, lines) = list(tracing_subscriber::EnvFilter::new("warn")).await;
    assert!(lines.contains("private"), "{lines}");
}

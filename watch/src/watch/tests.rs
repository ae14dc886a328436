use std::{convert::Infallible, sync::Arc};

use axum::body::Body as ResponseBody;
use futures::{channel::mpsc, stream};
use http::{Request, Response};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{ResourceExt as _, client::Body, core::PartialObjectMeta};
use serde_json::{Value, json};

use super::*;
use crate::decode_event;

fn config_map(name: &str, data: &Value) -> String {
    json!({ "metadata": { "name": name, "namespace": "team", "resourceVersion": "1" }, "data": data }).to_string()
}

/// An object whose data has this many levels.
fn nested(name: &str, levels: usize) -> String {
    config_map(name, &json!("HERE")).replace(
        "\"HERE\"",
        &format!("{}{{}}{}", "{\"a\":".repeat(levels), "}".repeat(levels)),
    )
}

/// An API server that answers a list with `items` and a watch with `changes`, and the requests that it received.
fn api_server(items: &[String], changes: &[String]) -> (Client, mpsc::UnboundedReceiver<Request<Body>>) {
    let (requests, received) = mpsc::unbounded();
    let items = items.join(",");
    let list = format!(
        "{{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"9\"}},\"items\":[{items}]}}"
    );
    let changes: Vec<String> = changes
        .iter()
        .map(|object| format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n"))
        .collect();
    let bodies = Arc::new((list, changes));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (bodies, requests) = (Arc::clone(&bodies), requests.clone());
        async move {
            let is_watch = request.uri().query().unwrap_or_default().contains("watch=true");
            requests.unbounded_send(request).unwrap();
            let body = if is_watch {
                let lines = bodies.1.clone().into_iter().map(Ok::<_, Infallible>);
                // After the changes, the connection stays open.
                ResponseBody::from_stream(stream::iter(lines).chain(stream::pending()))
            } else {
                ResponseBody::from(bodies.0.clone())
            };
            Ok::<_, Infallible>(Response::new(body))
        }
    });
    (Client::new(service, "team"), received)
}

/// The first events of a watch, as text; objects that cannot be decoded are left out.
async fn decoded(watch: Watch, count: usize) -> Vec<String> {
    let (sender, receiver) = mpsc::unbounded();
    let run = watch.run(move |event| {
        let event = decode_event("ConfigMap", event, |object| object.decode::<ConfigMap>());
        let _ = event.map(|event| sender.unbounded_send(event.to_string()));
    });
    tokio::select! {
        () = run => unreachable!("a watch never ends"),
        events = receiver.take(count).collect() => events,
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_decoded_hides_no_other_in_a_list_and_in_a_watch() {
    let good = |name| config_map(name, &json!({ "key": "value" }));
    let of_another_type = config_map("wrong", &json!({ "key": 1 }));
    let (client, _requests) = api_server(
        &[good("a"), of_another_type.clone(), nested("deep", 200), good("b")],
        &[nested("deep", 200), of_another_type, good("c")],
    );
    assert_eq!(
        decoded(Watch::all::<ConfigMap>(client), 5).await,
        ["Init", "InitApply(a)", "InitApply(b)", "InitDone", "Apply(c)"]
    );
}

#[tokio::test]
async fn an_object_is_known_by_its_metadata_however_deep_it_is() {
    for levels in [10, 125, 126, 200] {
        let object: RawObject = serde_json::from_str(&nested("deep", levels)).unwrap();
        assert_eq!(object.name_any(), "deep");
        let error = object.decode::<ConfigMap>().unwrap_err().to_string();
        // A value of the wrong type is refused before what is below it is read.
        assert_eq!(error, "data.a: invalid type: map, expected a string");
        let value = object.decode_part::<Value>();
        assert_eq!(value.is_ok(), levels < 126, "{levels}");
        if let Err(error) = value {
            assert_eq!(
                error.to_string(),
                "it is nested too deeply: objects and lists inside each other, more than 127 levels"
            );
        }
    }
}

#[tokio::test]
async fn a_watch_asks_for_its_namespace_its_labels_and_for_metadata_alone() {
    let (client, mut requests) = api_server(&[], &[]);
    let watch = Watch::all::<PartialObjectMeta<Secret>>(client)
        .in_namespace("team")
        .with_labels("app=x");
    assert_eq!(watch.kind(), "Secret");
    assert_eq!(decoded(watch, 2).await, ["Init", "InitDone"]);
    let list = requests.next().await.unwrap();
    assert_eq!(list.uri().path(), "/api/v1/namespaces/team/secrets");
    assert!(
        list.uri().query().unwrap().contains("labelSelector=app%3Dx"),
        "{}",
        list.uri()
    );
    assert!(
        list.headers()["accept"]
            .to_str()
            .unwrap()
            .contains("as=PartialObjectMetadata"),
        "{:?}",
        list.headers()
    );
}

#[test]
fn an_object_is_printed_without_its_content() {
    let object: RawObject = serde_json::from_str(&config_map("a", &json!({ "key": "private" }))).unwrap();
    assert_eq!(
        format!("{object:?}"),
        "RawObject { namespace: Some(\"team\"), name: Some(\"a\"), .. }"
    );
}

//! The gateway's metrics over its routes.

use axum::http::StatusCode;
use serde_json::json;

use super::support::{TestGateway, without_services};

/// The value of a sample.
fn sample(gateway: &TestGateway, name: &str) -> Option<String> {
    let text = gateway.metrics();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map(str::to_owned)
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status_class() {
    let gateway = without_services();
    assert_eq!(gateway.get("/agents").await.status, StatusCode::OK);
    assert_eq!(gateway.get("/agents/name/haiku").await.status, StatusCode::OK);
    assert_eq!(gateway.get("/agents/name/nobody").await.status, StatusCode::NOT_FOUND);
    assert_eq!(gateway.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    let count = |labels: &str| {
        sample(
            &gateway,
            &format!("steadfast_gateway_request_seconds_count{{{labels}}}"),
        )
    };
    for labels in [
        r#"route="/agents",rpc_method="",status="2xx""#,
        r#"route="/agents/name/{agent_name}",rpc_method="",status="2xx""#,
        r#"route="/agents/name/{agent_name}",rpc_method="",status="4xx""#,
        r#"route="none",rpc_method="",status="4xx""#,
    ] {
        assert_eq!(count(labels).as_deref(), Some("1"), "{labels}\n{}", gateway.metrics());
    }
}

#[tokio::test]
async fn rpc_requests_are_counted_by_method_and_calls_to_temporal_by_outcome() {
    let gateway = without_services();
    let answer = gateway.rpc("task/create", json!({})).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    for name in [
        r#"steadfast_gateway_request_seconds_count{route="/agents/name/{agent_name}/rpc",rpc_method="task/create",status="5xx"}"#,
        r#"steadfast_gateway_temporal_call_seconds_count{call="start_workflow_execution",outcome="connect"}"#,
    ] {
        assert_eq!(
            sample(&gateway, name).as_deref(),
            Some("1"),
            "{name}\n{}",
            gateway.metrics()
        );
    }
}

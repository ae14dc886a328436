//! What cannot be done is said clearly, whatever is missing behind the gateway.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::{server, support::without_services};

const TWO_MEBIBYTES: usize = 2 * 1024 * 1024;
/// The longest body where attachments are stored.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The id that the agent of the tests has: it must never change.
const HAIKU_ID: &str = "a1fd65d1-17be-5d7a-8d39-b132fedb3f3d";

#[tokio::test]
async fn agents_are_listed_and_found_by_id_and_by_name() {
    let gateway = without_services();
    let agents = gateway.get("/agents").await;
    assert_eq!(agents.status, StatusCode::OK);
    let names: Vec<&Value> = agents
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| &agent["name"])
        .collect();
    assert_eq!(names, [&json!("haiku"), &json!("poets.haiku")]);
    let haiku = &agents.body[0];
    assert_eq!(
        (&haiku["acp_type"], &haiku["status"]),
        (&json!("async"), &json!("Ready"))
    );
    assert_eq!(haiku["id"], HAIKU_ID);
    for path in [
        format!("/agents/{HAIKU_ID}"),
        "/agents/name/haiku".to_owned(),
        "/agents/name/default.haiku".to_owned(),
    ] {
        assert_eq!(gateway.get(&path).await.body, *haiku, "{path}");
    }
    for (query, name) in [
        ("limit=1&page_number=2", "poets.haiku"),
        ("order_by=name&order_direction=desc&limit=1", "poets.haiku"),
        ("order_by=name&limit=1", "haiku"),
    ] {
        assert_eq!(
            gateway.get(&format!("/agents?{query}")).await.body[0]["name"],
            name,
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_unknown_agent_is_not_found() {
    let gateway = without_services();
    for path in [
        "/agents/nobody",
        "/agents/00000000-0000-0000-0000-000000000000",
        "/agents/name/nobody",
        "/agents/name/a.b",
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(
            answer.body,
            json!({"message": "the agent does not exist, or you may not see it", "code": 404, "data": null})
        );
    }
    let answer = gateway
        .post("/agents/name/nobody/rpc", r#"{"id":7,"method":"task/create"}"#)
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let message = "the agent does not exist, or you may not see it";
    assert_eq!(
        answer.body,
        json!({
            "jsonrpc": "2.0", "id": null, "result": null, "error": {"code": -32602, "message": message, "data": null},
            "message": message, "code": 404, "data": null,
        })
    );
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let gateway = without_services();
    let rpc = "/agents/name/haiku/rpc";
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("[]", -32600),
        ("{}", -32600),
        (r#"{"method":"task/create","params":[]}"#, -32602),
        (r#"{"method":"task/destroy"}"#, -32601),
        (r#"{"method":"message/send","params":{}}"#, -32602),
        (r#"{"method":"task/create","params":{"name":""}}"#, -32602),
        (r#"{"method":"task/create","params":{"params":7}}"#, -32602),
        (r#"{"method":"event/send","params":{"task_id":"t"}}"#, -32602),
        (
            r#"{"method":"event/send","params":{"content":{"content":"Hi"}}}"#,
            -32602,
        ),
        (
            r#"{"method":"event/send","params":{"task_id":"t","task_name":"n","content":{"content":"Hi"}}}"#,
            -32602,
        ),
        (
            r#"{"method":"event/send","params":{"task_id":"t","content":{"type":"text","content":""}}}"#,
            -32602,
        ),
    ] {
        let answer = gateway.post(rpc, body).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!(code)),
            "{body}"
        );
        assert_eq!(
            (&answer.body["code"], &answer.body["result"]),
            (&json!(400), &Value::Null),
            "{body}"
        );
    }
    for path in [
        "/messages",
        "/messages?task_id=t&limit=0",
        "/messages?task_id=t&limit=many",
        "/messages?task_id=t&order_by=colour",
        "/messages?task_id=t&filters={}",
        "/messages/paginated",
        "/messages/paginated?task_id=t&cursor=x",
        "/messages/paginated?task_id=t&direction=up",
        "/messages/m",
        "/events",
        "/events/m",
        "/tasks?task_metadata=[1]",
        "/messages?task_id=t&limit=1001",
        "/messages?task_id=t&limit=1000&page_number=11",
        "/tasks?limit=1001",
        "/approvals?limit=1001",
        "/agents?limit=1001",
        "/tasks/t/stream?after=yesterday",
        "/tasks/t/stream?after=9007199254740992-1",
        "/tasks?status=DELETED",
        "/tasks?order_by=name",
        "/tasks?order_direction=asc",
        "/agents?order_by=colour",
        "/tasks/%ff",
        "/nowhere/%ff",
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (StatusCode::BAD_REQUEST, &json!(400)),
            "{path}"
        );
    }
    assert_eq!(gateway.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    assert_eq!(gateway.post("/agents", "").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    let gateway = without_services();
    let answer = gateway
        .post("/agents/name/haiku/rpc", vec![b' '; MAX_BODY_BYTES + 1])
        .await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!(413))
    );
    assert_eq!(
        answer.body["message"],
        "a request body is at most 16777216 bytes long; an escaped character counts as several"
    );
    // One that is as long as allowed is read.
    let answer = gateway.post("/agents/name/haiku/rpc", vec![b' '; MAX_BODY_BYTES]).await;
    assert_eq!(answer.body["error"]["code"], -32700);
    let long = "x".repeat(1024 * 1024 + 1);
    let answer = gateway
        .rpc(
            "event/send",
            json!({"task_id": "t", "content": {"type": "text", "content": long}}),
        )
        .await;
    assert_eq!(
        (answer.status, &answer.body["error"]["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!(-32602))
    );
    let answer = gateway
        .rpc("task/create", json!({"task_metadata": {"x": "x".repeat(20_000)}}))
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn nothing_of_a_body_is_kept_before_the_permission_is_known() {
    const PIECES: usize = 64;
    let piece = vec![b'x'; TWO_MEBIBYTES / 16];
    let served = server::serve(|server| server).await;
    let mut connection = served.connect().await;
    // No JSON, and far over the limit: both would be told if it were looked at.
    let head = format!(
        "POST /agents/name/nobody/rpc HTTP/1.1\r\nhost: gateway\r\ncontent-length: {}\r\n\r\n",
        PIECES * piece.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    for _ in 1..PIECES {
        connection.write_all(&piece).await.unwrap();
    }
    // It was read to its end and forgotten: the sender receives the response, and the connection goes on.
    assert_eq!(server::answer(&mut connection, &piece).await, StatusCode::NOT_FOUND);
    assert_eq!(server::status(&mut connection).await, StatusCode::OK);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let gateway = without_services();
    for path in ["/tasks/t", "/tasks", "/messages?task_id=t", "/tasks/t/stream"] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let expected =
            json!({"message": "Temporal is not available now", "code": 503, "data": {"missing": "Temporal"}});
        assert_eq!(answer.body, expected, "{path}");
    }
    let content = json!({"type": "text", "author": "user", "content": "Hi"});
    let answer = gateway
        .rpc("event/send", json!({"task_id": "t", "content": content}))
        .await;
    assert_eq!(
        (answer.status, &answer.body["error"]["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!(-32603))
    );

    assert_eq!(gateway.get("/healthz").await.body, json!({"status": "ok"}));
    let ready = gateway.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.body["checks"]["temporal"]["healthy"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!(false))
    );
    assert_eq!(ready.body["checks"]["redis"]["healthy"], false);
    assert_eq!(
        gateway.get("/openapi.json").await.body["info"]["version"],
        env!("CARGO_PKG_VERSION")
    );
}

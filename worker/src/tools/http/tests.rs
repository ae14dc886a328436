//! Calls against a real server on this machine.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use steadfast_contract::activities::Revision;
use steadfast_crds::yaml;
use steadfast_egress::EgressPolicy;
use steadfast_process::BlockingWork;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use super::{CallHeaders, HttpCall, HttpStep, HttpToolClient, HttpToolResult};
use crate::{
    egress::{credentials::Credentials, http_client::Egress},
    failure::{CallFailure, RetryClass},
};

/// Serves one request; the response is the request line, the idempotency key and the body.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_lowercase());
        }
        let header = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = header("content-length:").unwrap_or("0").parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let response = json!({
            "line": lines[0], "key": header("idempotency-key:"), "body": String::from_utf8(body).unwrap(),
        })
        .to_string();
        let response = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{response}",
            response.len()
        );
        stream.write_all(response.as_bytes()).await.unwrap();
    });
    url
}

fn key(key: &str) -> CallHeaders<'_> {
    CallHeaders {
        idempotency_key: Some(key),
        traceparent: None,
    }
}

fn client(loopback: bool) -> HttpToolClient {
    client_with(loopback, BlockingWork::new(2))
}

fn client_with(loopback: bool, blocking: BlockingWork) -> HttpToolClient {
    steadfast_process::crypto::install();
    let policy = EgressPolicy {
        loopback,
        ..EgressPolicy::default()
    };
    let variables = [("TOKEN".to_owned(), "tok-12345678".to_owned())];
    let credentials = Arc::new(Credentials::new(variables));
    HttpToolClient::new(credentials, &Egress::from(policy), blocking).unwrap()
}

fn revision(kind: &str) -> Arc<Revision> {
    let spec = yaml::from_str(&format!(
        "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q,
          credentials: [{{envVarName: TOKEN}}], tools: [{{name: t, spec: {{description: d, {kind}}}}}]}}"
    ));
    Arc::new(Revision {
        name: "a-1".to_owned(),
        spec: spec.unwrap(),
    })
}

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

async fn call(client: &HttpToolClient, http: &str) -> Result<HttpToolResult, CallFailure> {
    let revision = revision(&format!("http: {http}"));
    let tool = &revision.spec.tools[0];
    let call = HttpCall {
        revision: &revision,
        tool,
        http: tool.spec.http.as_ref().unwrap(),
        arguments: &object(json!({"city": "Bonn"})),
    };
    client.call(call, key("k1")).await
}

#[tokio::test]
async fn a_call_sends_its_arguments_and_its_key_and_shapes_the_response() {
    let url = echo().await;
    let http = format!(
        "{{method: POST, url: \"{url}/{{{{ city }}}}\", response: \"{{{{ body.line }}}} {{{{ body.key }}}} {{{{ body.body }}}}\"}}"
    );
    let result = call(&client(true), &http).await.unwrap();
    assert_eq!(result.content, json!("post /bonn http/1.1 k1 {\"city\":\"Bonn\"}"));
}

#[tokio::test]
async fn a_credential_that_the_server_echoes_is_redacted() {
    let url = echo().await;
    let http = format!("{{method: POST, url: \"{url}/\", body: '{{\"key\": \"${{env.TOKEN}}\"}}'}}");
    let result = call(&client(true), &http).await.unwrap();
    assert_eq!(result.content["body"], json!("{\"key\": \"[redacted: TOKEN]\"}"));
}

#[tokio::test]
async fn an_argument_does_not_leave_its_path_segment() {
    let url = echo().await;
    let http = format!("{{url: \"{url}/orders/{{{{ city | urlencode }}}}/refund\"}}");
    let revision = revision(&format!("http: {http}"));
    let tool = &revision.spec.tools[0];
    let call = |city: &str| {
        let arguments = object(json!({"city": city}));
        let revision = &revision;
        async move {
            let call = HttpCall {
                revision,
                tool,
                http: tool.spec.http.as_ref().unwrap(),
                arguments: &arguments,
            };
            client(true).call(call, key("k1")).await
        }
    };
    let refused = call("../admin").await.unwrap_err();
    assert_eq!(
        (refused.category, refused.retry),
        ("tool_refused", RetryClass::Permanent)
    );
    let sent = call("1/2?a=b").await.unwrap();
    assert_eq!(sent.content["line"], json!("get /orders/1%2f2%3fa%3db/refund http/1.1"));
}

#[tokio::test]
async fn a_loopback_address_is_refused_permanently() {
    for url in ["http://127.0.0.1:1/", "http://localhost:1/"] {
        let refused = call(&client(false), &format!("{{url: \"{url}\"}}")).await.unwrap_err();
        assert_eq!(refused.retry, RetryClass::Permanent);
        assert!(refused.message.contains("loopback address"), "{refused}");
    }
}

#[tokio::test]
async fn a_step_reads_earlier_results_and_sends_its_own_arguments() {
    let url = echo().await;
    let revision = revision(&format!(
        "steps: [{{name: refund, http: {{method: DELETE, url: \"{url}/{{{{ steps.withdraw.receipt }}}}\"}},
                   arguments: {{amount: \"{{{{ amount }}}}\"}}}}]"
    ));
    let tool = &revision.spec.tools[0];
    let refund = &tool.spec.steps.as_ref().unwrap()[0];
    let step = HttpStep {
        revision: &revision,
        tool,
        http: refund.http.as_ref().unwrap(),
        arguments: &refund.arguments,
        call_arguments: &object(json!({"amount": 12})),
        results: &BTreeMap::from([("withdraw".to_owned(), json!({"receipt": 7}))]),
        timeout: Duration::from_secs(5),
    };
    let result = client(true).call_step(step, key("k1/undo")).await.unwrap();
    assert_eq!(
        result.content,
        json!({"line": "delete /7 http/1.1", "key": "k1/undo", "body": "{\"amount\":12}"})
    );
}

#[tokio::test]
async fn nothing_is_sent_while_templates_of_the_tool_are_late() {
    let blocking = BlockingWork::new(2);
    let (release, released) = std::sync::mpsc::channel::<()>();
    let late = blocking
        .run("a/t", Duration::from_millis(20), move || released.recv().is_ok())
        .await;
    assert!(late.is_err(), "{late:?}");
    let http = format!("{{url: \"{}/{{{{ city }}}}\"}}", echo().await);
    let refused = call(&client_with(true, blocking), &http).await.unwrap_err();
    assert_eq!(
        (refused.category, refused.retry),
        ("tool_refused", RetryClass::Permanent)
    );
    assert!(refused.message.starts_with("the tool's templates"), "{refused}");
    drop(release);
}

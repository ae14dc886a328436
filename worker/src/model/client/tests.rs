use std::{io::Write as _, time::Duration};

use flate2::write::GzEncoder;
use serde_json::json;
use steadfast_crds::yaml;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::model::http_service::ERROR_BODY_BYTES;

const BODY: &[u8] = br#"{"stream":true}"#;
const REVISION: &str = "{agent: a, sequence: 1, taskQueue: q,
    model: {name: m, api: ChatCompletions, apiKeyEnvVar: KEY}, credentials: [{envVarName: KEY}]}";

fn client() -> ModelClient {
    steadfast_process::crypto::install();
    let variables = [
        ("WHERE".to_owned(), "models.test".to_owned()),
        ("KEY".to_owned(), "key-12345678\n".to_owned()),
        ("BROKEN".to_owned(), "key-1\nkey-2".to_owned()),
    ];
    let egress = Egress::from(EgressPolicy::LOCAL);
    ModelClient::new(Arc::new(Credentials::new(variables)), &egress, None).unwrap()
}

fn base_url(template: &str, hosts: &str) -> Result<Url, CallFailure> {
    let revision = yaml::from_str(&format!(
        "{{agent: a, sequence: 1, taskQueue: q, model: {{name: m, baseUrl: '{template}'}},
          credentials: [{{envVarName: WHERE, hosts: {hosts}}}]}}"
    ))
    .unwrap();
    client().base_url(&revision)
}

#[test]
fn a_base_url_may_use_a_credential_that_may_be_sent_there() {
    let template = "https://${env.WHERE}/v1";
    assert_eq!(base_url(template, "[]").unwrap().as_str(), "https://models.test/v1");
    for hosts in ["[models.test]", "['*.test']"] {
        assert_eq!(
            base_url(template, hosts).unwrap().as_str(),
            "https://models.test/v1",
            "{hosts}"
        );
    }
    let error = base_url(template, "[other.test]").unwrap_err();
    assert_eq!(error.category, "model_credentials");
    assert!(!error.message.contains("models.test"), "{error}");
    assert_eq!(
        base_url("https://${env.NOBODY}/v1", "[]").unwrap_err().category,
        "model_credentials"
    );
}

/// Serves one request; returns the request, the events and the failure.
async fn call(answer: impl Into<Vec<u8>>) -> (String, Vec<Value>, Option<CallFailure>) {
    call_at("/v1", answer).await
}

/// The same with this behind the host of the base URL.
async fn call_at(base: &str, answer: impl Into<Vec<u8>>) -> (String, Vec<Value>, Option<CallFailure>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = Url::parse(&format!("http://{}{base}", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(BODY) {
            assert_ne!(
                connection.read_buf(&mut request).await.unwrap(),
                0,
                "the request ends early"
            );
        }
        connection.write_all(&answer).await.unwrap();
        // A second attempt would fail to connect.
        drop(listener);
        String::from_utf8(request).unwrap()
    });
    let revision = yaml::from_str(REVISION).unwrap();
    let (mut events, mut error) = (Vec::new(), None);
    match client()
        .stream(&revision, &base_url, Bytes::from_static(BODY), None)
        .await
    {
        Ok(mut stream) => {
            while let Some(event) = stream.next().await {
                match event {
                    Ok(event) => events.push(event),
                    Err(broken) => error = Some(broken),
                }
            }
        }
        Err(refused) => error = Some(refused),
    }
    (server.await.unwrap(), events, error)
}

#[tokio::test]
async fn a_chat_stream_ends_with_done() {
    let (request, events, error) = call(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
         data: {\"a\":1}\n\ndata: no json\n\ndata: [DONE]\n\ndata: {\"b\":2}\n\n",
    )
    .await;
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert!(head.contains("content-length: 15"), "{head}");
    assert!(head.contains("authorization: Bearer key-12345678\r\n"), "{head}");
    assert_eq!(body.as_bytes(), BODY);
    assert_eq!(events, [json!({"a": 1}), json!("no json"), json!("[DONE]")]);
    assert_eq!(error, None);
}

#[tokio::test]
async fn a_failed_call_is_sent_once_and_classified() {
    let (_, events, error) = call(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy",
    )
    .await;
    assert_eq!(events, Vec::<Value>::new());
    let error = error.unwrap();
    assert_eq!(error.category, "model_unavailable");
    let delay = Some(Duration::from_secs(7));
    assert_eq!(error.retry, RetryClass::Transient { delay });
}

#[tokio::test]
async fn an_error_that_echoes_the_key_is_redacted_and_read_up_to_a_limit() {
    let reason = format!("incorrect key key-12345678 {}", "x ".repeat(ERROR_BODY_BYTES));
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reason}",
        reason.len()
    );
    let error = call(answer).await.2.unwrap();
    assert_eq!(error.category, "model_authentication");
    assert!(
        error
            .message
            .starts_with("the model API answered 401 Unauthorized: incorrect key [redacted: KEY] x x"),
        "{error}"
    );
    let (_, events, _) = call(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
         data: {\"error\":{\"message\":\"key-12345678\"}}\n\ndata: [DONE]\n\n",
    )
    .await;
    assert_eq!(
        events,
        [json!({"error": {"message": "[redacted: KEY]"}}), json!("[DONE]")]
    );
}

#[tokio::test]
async fn a_key_that_no_header_holds_is_refused_by_its_name() {
    let revision = yaml::from_str(
        "{agent: a, sequence: 1, taskQueue: q, model: {name: m, apiKeyEnvVar: BROKEN},
          credentials: [{envVarName: BROKEN}]}",
    )
    .unwrap();
    let url = Url::parse("http://127.0.0.1:1/").unwrap();
    let refused = client().stream(&revision, &url, Bytes::from_static(BODY), None).await;
    let error = refused.err().unwrap();
    assert_eq!((error.category, error.retry), (CREDENTIALS, RetryClass::Permanent));
    assert!(
        error.message.contains("BROKEN") && !error.message.contains("key-"),
        "{error}"
    );
}

#[tokio::test]
async fn a_base_url_at_a_local_address_needs_the_permission_of_the_installation() {
    let revision = |url: &str| -> AgentRevisionSpec {
        yaml::from_str(&format!(
            "{{agent: a, sequence: 1, taskQueue: q, model: {{name: m, baseUrl: '{url}', apiKeyEnvVar: ''}}}}"
        ))
        .unwrap()
    };
    let client = |policy: EgressPolicy| {
        steadfast_process::crypto::install();
        ModelClient::new(Arc::default(), &Egress::from(policy), None).unwrap()
    };
    let closed = client(EgressPolicy {
        cluster_services: false,
        loopback: false,
    });
    for url in [
        "http://127.0.0.1:8000/v1",
        "http://vllm.models.svc/v1",
        "http://10.0.0.7/v1",
    ] {
        let refused = closed.base_url(&revision(url)).unwrap_err();
        assert_eq!(
            (refused.category, refused.retry),
            (CONFIGURATION, RetryClass::Permanent),
            "{url}"
        );
        client(EgressPolicy::LOCAL).base_url(&revision(url)).unwrap();
    }
    let metadata = revision("http://169.254.169.254/v1");
    assert!(client(EgressPolicy::LOCAL).base_url(&metadata).is_err());
    // A name is checked by its addresses, when the connection is opened.
    let named = Url::parse("http://localhost:1/v1").unwrap();
    let refused = closed
        .stream(&revision(named.as_str()), &named, Bytes::from_static(BODY), None)
        .await;
    let error = refused.err().unwrap();
    assert_eq!(
        (error.category, error.retry),
        (CONFIGURATION, RetryClass::Permanent),
        "{error}"
    );
}

/// Serves one response with these headers, written chunk by chunk.
async fn answer(head: &str, body: &[u8]) -> (Vec<Value>, Option<CallFailure>) {
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
    let (_, events, error) = call([head.as_bytes(), body].concat()).await;
    (events, error)
}

#[tokio::test]
async fn a_body_is_read_in_its_coding_and_charset() {
    let stream = "data: {\"a\":\"né\"}\n\ndata: [DONE]\n\n";
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(stream.as_bytes()).unwrap();
    let latin_1: Vec<u8> = stream
        .chars()
        .map(|character| u8::try_from(u32::from(character)).unwrap())
        .collect();
    for (header, body) in [
        ("content-encoding: gzip", gzip.finish().unwrap()),
        (
            "content-encoding: zstd",
            zstd::encode_all(stream.as_bytes(), 0).unwrap(),
        ),
        ("content-type: text/event-stream; charset=iso-8859-1", latin_1),
        (
            "content-type: text/event-stream",
            stream.replace('\n', "\r").into_bytes(),
        ),
    ] {
        let (events, error) = answer(&format!("200 OK\r\n{header}"), &body).await;
        assert_eq!(
            (events, error),
            (vec![json!({"a": "né"}), json!("[DONE]")], None),
            "{header}"
        );
    }
    let (_, error) = answer("200 OK\r\ncontent-encoding: snappy", b"x").await;
    let error = error.unwrap();
    assert_eq!(error.category, "model_stream_unreadable");
    assert!(error.message.contains("snappy"), "{error}");
}

#[tokio::test]
async fn an_error_in_a_content_coding_is_told_in_its_words() {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(br#"[{"error": {"code": 429, "message": "slow down", "details": [{"retryDelay": "3s"}]}}]"#)
        .unwrap();
    let (_, error) = answer(
        "429 Too Many Requests\r\ncontent-encoding: gzip",
        &gzip.finish().unwrap(),
    )
    .await;
    let error = error.unwrap();
    assert_eq!(error.message, "the model API answered 429 Too Many Requests: slow down");
    let delay = Some(Duration::from_secs(3));
    assert_eq!(error.retry, RetryClass::Transient { delay });
}

#[tokio::test]
async fn a_success_without_a_stream_is_told_in_its_words() {
    let whole = br#"{"choices": [{"message": {"content": "Hi"}}]}"#;
    let (events, error) = answer("200 OK\r\ncontent-type: application/json", whole).await;
    let expected = vec![serde_json::from_slice(whole).unwrap(), json!("[DONE]")];
    assert_eq!((events, error), (expected, None));
    for (header, body) in [
        ("content-type: text/html", "<html><body>Sign in first</body></html>"),
        ("content-type: text/plain", "Sign in first"),
        ("x: y", ""),
    ] {
        let (events, error) = answer(&format!("200 OK\r\n{header}"), body.as_bytes()).await;
        let error = error.unwrap();
        assert_eq!((events, error.category), (vec![], "model_no_stream"), "{header}");
        assert!(body.is_empty() || error.message.contains("Sign in first"), "{error}");
    }
}

#[tokio::test]
async fn the_wait_that_a_provider_asks_for_is_at_most_the_longest_interval() {
    let (_, error) = answer("429 Too Many Requests\r\nretry-after: 600", b"").await;
    let delay = Some(Duration::from_mins(1));
    assert_eq!(error.unwrap().retry, RetryClass::Transient { delay });
}

#[tokio::test]
async fn a_library_that_stops_reading_is_a_failure_of_its_own() {
    let redactor = || client().credentials.redactor(&yaml::from_str(REVISION).unwrap());
    let read = async |ending: Ending| -> Vec<Result<Value, CallFailure>> {
        let library: LibraryStream = Box::pin(futures::stream::iter([Ok(json!({"a": 1}))]));
        events(library, ending, redactor()).collect().await
    };
    let stopped = read(Ending::default()).await;
    assert_eq!(stopped[1].as_ref().unwrap_err().category, "model_client_fault");
}

#[tokio::test]
async fn the_query_of_a_base_url_stands_behind_the_path_of_the_api() {
    for (base, line) in [
        (
            "/openai/deployments/d?api-version=2024-10-21",
            "POST /openai/deployments/d/chat/completions?api-version=2024-10-21 HTTP/1.1",
        ),
        ("/v1/?a=1&b=%2F#part", "POST /v1/chat/completions?a=1&b=%2F HTTP/1.1"),
        ("/v1/", "POST /v1/chat/completions HTTP/1.1"),
    ] {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: [DONE]\n\n";
        let (request, _, _) = call_at(base, answer).await;
        assert_eq!(request.lines().next(), Some(line));
    }
}

#[tokio::test]
async fn a_server_that_is_away_and_one_without_tls_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection
            .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        // Until the client is gone.
        while connection
            .read_buf(&mut Vec::with_capacity(1_024))
            .await
            .is_ok_and(|count| count > 0)
        {}
    });
    let revision = yaml::from_str(REVISION).unwrap();
    let failure = async |url: String| {
        let url = Url::parse(&url).unwrap();
        let sent = client().stream(&revision, &url, Bytes::from_static(BODY), None).await;
        sent.err().unwrap()
    };
    assert_eq!(failure(format!("https://{address}/v1")).await.category, "model_tls");
    plain.await.unwrap();
    // Nothing listens there any more.
    assert_eq!(
        failure(format!("http://{address}/v1")).await.category,
        "model_connection"
    );
}

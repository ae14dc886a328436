//! The program itself over loopback, with callers who mean no good: it answers clearly, goes on serving others, and
//! stays within the memory limit of the chart.

use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use axum::http::StatusCode;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};

use super::{
    fake_api_server::{AUDIENCE, FakeApiServer},
    support::{REVISION, TIMEOUT},
};

/// `gateway.resources.limits.memory` of the chart.
const MEMORY_LIMIT_KIB: usize = 512 * 1024;
const TWO_MEBIBYTES: usize = 2 * 1024 * 1024;
const CONNECTIONS: usize = 1000;

/// The program, with an API server that knows `alice` (who may do everything) and `carol` (who may do nothing).
struct Program {
    process: Child,
    address: SocketAddr,
    api_server: JoinHandle<()>,
    _files: TempDir,
}

impl Program {
    async fn start() -> Self {
        let server = FakeApiServer::default();
        server.add_token("alice", "alice", &["users"], AUDIENCE);
        server.add_token("carol", "carol", &[], AUDIENCE);
        for (resource, verbs) in [
            ("agents", &["get", "list"][..]),
            ("agents/tasks", &["create", "get", "delete"]),
            ("agents/approvals", &["get", "update"]),
        ] {
            server.grant("users", "", resource, verbs);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = server.router();
        let api_server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

        let files = tempfile::tempdir().unwrap();
        let revisions = files.path().join("revisions");
        fs::create_dir(&revisions).unwrap();
        fs::write(revisions.join("haiku.yaml"), REVISION).unwrap();
        let kubeconfig = files.path().join("kubeconfig");
        fs::write(&kubeconfig, kubeconfig_of(&url)).unwrap();
        let (process, address) = launch(&kubeconfig, &revisions).await;
        Self {
            process,
            address,
            api_server,
            _files: files,
        }
    }

    /// The most memory that the program has had.
    fn peak_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request on a connection of its own, and reads the status of the response.
    async fn send(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Option<StatusCode> {
        let mut connection = self.connect().await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).await.ok()?;
        // Who is refused early may not be read to the end.
        let _ = connection.write_all(body).await;
        let mut response = Vec::new();
        let _ = timeout(TIMEOUT, connection.read_to_end(&mut response))
            .await
            .expect("a response in time");
        let text = String::from_utf8_lossy(&response);
        text.split(' ').nth(1)?.parse().ok()
    }

    /// Somebody else is served at once.
    async fn serves_others(&self) {
        let answer = timeout(
            Duration::from_secs(5),
            self.send("GET", "/agents/name/haiku", "alice", b""),
        )
        .await;
        assert_eq!(answer.expect("an answer in time"), Some(StatusCode::OK));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.api_server.abort();
    }
}

fn kubeconfig_of(url: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {"token": "gateway"}}],
    })
    .to_string()
}

async fn launch(kubeconfig: &Path, revisions: &Path) -> (Child, SocketAddr) {
    const NOWHERE: &str = "127.0.0.1:1";
    let mut process = Command::new(env!("CARGO_BIN_EXE_steadfast-gateway"))
        .args([
            "--listen=127.0.0.1:0",
            "--admin-address=127.0.0.1:0",
            "--token-audiences",
            AUDIENCE,
        ])
        .arg(format!("--revisions={}", revisions.display()))
        .env("KUBECONFIG", kubeconfig)
        .env("TEMPORAL_ADDRESS", NOWHERE)
        .env("REDIS_URL", format!("redis://{NOWHERE}"))
        .env("STEADFAST_LOG_LEVEL", "info,audit=off")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let serving = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"] == "serving" {
                return line["address"].as_str().unwrap().parse().unwrap();
            }
        }
        panic!("the gateway has ended");
    };
    let address = timeout(TIMEOUT, serving).await.expect("a gateway that serves");
    // What it writes later is read, so that it never waits.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (process, address)
}

/// Bodies that no route can use, each refused before or by a parser that is bounded.
fn bad_bodies() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[[[]]]".to_vec(),
        b"{\"a\": \xff}".to_vec(),
        b"{} trailing".to_vec(),
        b"NaN".to_vec(),
        // Deeper than is let in.
        [vec![b'['; 65], vec![b']'; 65]].concat(),
        // More values than are let in.
        [b"[".to_vec(), b"0,".repeat(100_001), b"0]".to_vec()].concat(),
        // Longer than is let in.
        vec![b' '; TWO_MEBIBYTES + 1],
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_bodies_are_told_apart_from_failures_on_every_route() {
    let program = Program::start().await;
    let task = "00000000-0000-4000-8000-000000000000";
    let (conversation, session) = (
        format!("/v1/responses/resp_{0}{0}/cancel", "0".repeat(32)),
        format!("/v1/agents/sessions/sess_{}/events", "0".repeat(32)),
    );
    for path in [
        "/agents/name/haiku/rpc",
        &format!("/tasks/{task}/cancel"),
        &format!("/approvals/{task}.run.1.0.0/approve"),
        "/v1/responses",
        &conversation,
        "/v1/chat/completions",
        "/v1/conversations",
        "/v1/agents/sessions",
        &session,
    ] {
        for body in bad_bodies() {
            let answer = program.send("POST", path, "alice", &body).await;
            let status = answer.unwrap_or_else(|| panic!("{path}: no answer to {} bytes", body.len()));
            // 503: Temporal is looked at first, and there is none.
            let is_clear = status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE || status.is_success();
            assert!(is_clear, "{path}: {status} to {} bytes", body.len());
        }
    }
    program.serves_others().await;
    assert!(program.peak_kib() < MEMORY_LIMIT_KIB, "{} KiB", program.peak_kib());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_bodies_at_once_do_not_fill_the_memory() {
    let program = Program::start().await;
    // As many values as are let in: what is parsed uses a multiple of its bytes.
    let mut body = [
        br#"{"method": "task/create", "params": {"params": ["#.to_vec(),
        b"{},".repeat(49_000),
    ]
    .concat();
    body.resize(TWO_MEBIBYTES, b' ');
    for (token, path, expected) in [
        ("carol", "/agents/name/haiku/rpc", StatusCode::NOT_FOUND),
        // The body says which agent it is for, so it is read first.
        ("carol", "/v1/responses", StatusCode::BAD_REQUEST),
        ("alice", "/agents/name/haiku/rpc", StatusCode::BAD_REQUEST),
    ] {
        let answers = stream::iter(0..64).map(|_| program.send("POST", path, token, &body));
        let answers: Vec<_> = answers.buffer_unordered(64).collect().await;
        for answer in answers {
            let status = answer.expect("an answer");
            let is_clear =
                status == expected || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            assert!(is_clear, "{token} {path}: {status}");
        }
        program.serves_others().await;
    }
    assert!(program.peak_kib() < MEMORY_LIMIT_KIB, "{} KiB", program.peak_kib());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_and_idle_connections_keep_nobody_else_out() {
    let program = Program::start().await;
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let mut connection = program.connect().await;
        // Half of them send nothing, half of them a head that does not end.
        if number % 2 == 0 {
            let head = format!(
                "GET /agents HTTP/1.1\r\nhost: gateway\r\nx-filler: {}",
                "x".repeat(16 * 1024)
            );
            connection.write_all(head.as_bytes()).await.unwrap();
        }
        connections.push(connection);
    }
    program.serves_others().await;
    assert!(program.peak_kib() < MEMORY_LIMIT_KIB, "{} KiB", program.peak_kib());
    // A head that is too long is refused, however slowly it comes.
    let mut long = program.connect().await;
    let head = format!(
        "GET /agents HTTP/1.1\r\nhost: gateway\r\nx-filler: {}",
        "x".repeat(64 * 1024)
    );
    let _ = long.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(TIMEOUT, long.read_to_end(&mut answer))
        .await
        .expect("an end in time");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

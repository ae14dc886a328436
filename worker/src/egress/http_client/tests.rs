//! Requests to a real server, directly and through a real proxy, both on this machine.

use std::sync::{Arc, Mutex, PoisonError};

use steadfast_crds::{AgentRevisionSpec, yaml};
use steadfast_egress::EgressPolicy;
use steadfast_process::outbound::{Outbound, OutboundArgs};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls};
use url::Url;

use super::Egress;
use crate::egress::{
    connection_fault::find_denial,
    credentials::Credentials,
    request_target::{RequestTarget, RequestTargetError},
};

const OPEN: EgressPolicy = EgressPolicy {
    cluster_services: true,
    loopback: false,
};
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";

/// A proxy that answers plain requests itself and connects every tunnel to one server. It knows all names.
struct SmallProxy {
    port: u16,
    request_lines: Arc<Mutex<Vec<String>>>,
}

impl SmallProxy {
    async fn start(tunnels_to: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let request_lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = request_lines.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, tunnels_to, seen.clone()));
            }
        });
        Self { port, request_lines }
    }

    fn seen(&self) -> Vec<String> {
        self.request_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A way out through this proxy. The policy would refuse its address.
    fn outbound(&self, name: &str, no_proxy: &str, ca_bundle: &str) -> Outbound {
        steadfast_process::crypto::install();
        let address = format!("http://{name}:{}", self.port);
        Outbound::new(&OutboundArgs {
            https_proxy: Some(address.clone()),
            http_proxy: Some(address),
            no_proxy: Some(no_proxy.to_owned()),
            ca_bundle: Some(ca_bundle.to_owned()),
        })
        .unwrap()
    }
}

async fn serve(connection: TcpStream, tunnels_to: Option<u16>, seen: Arc<Mutex<Vec<String>>>) {
    let mut connection = BufReader::new(connection);
    let line = read_head(&mut connection).await;
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
    match tunnels_to {
        Some(port) if line.starts_with("CONNECT ") => {
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            connection.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
            // Ends with the connections of the test.
            drop(tokio::io::copy_bidirectional(&mut connection, &mut server).await);
        }
        _ => connection.write_all(ANSWER).await.unwrap(),
    }
}

/// The request line; the headers are read and dropped.
async fn read_head(connection: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> String {
    let mut first = String::new();
    connection.read_line(&mut first).await.unwrap();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.unwrap();
        if line.trim().is_empty() {
            return first.trim().to_owned();
        }
    }
}

/// A TLS server with a certificate of its own; returns its port and the certificate.
async fn tls_server(name: &str) -> (u16, String) {
    steadfast_process::crypto::install();
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            // A client that does not trust the certificate ends the handshake.
            let Ok(connection) = acceptor.accept(connection).await else {
                continue;
            };
            let mut connection = BufReader::new(connection);
            read_head(&mut connection).await;
            connection.write_all(ANSWER).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    });
    (port, cert.pem())
}

fn checked(policy: EgressPolicy, url: &str) -> Result<Url, RequestTargetError> {
    let revision: AgentRevisionSpec =
        yaml::from_str("{agent: a, sequence: 1, instructions: hi, model: {name: m}, taskQueue: q, credentials: []}")
            .unwrap();
    let target = RequestTarget {
        credentials: &Credentials::default(),
        policy,
        revision: &revision,
        scope: None,
    };
    target.url(url).map(|target| target.url)
}

#[tokio::test]
async fn a_name_is_checked_by_the_addresses_that_it_resolves_to() {
    steadfast_process::crypto::install();
    let client = Egress::from(OPEN).client().unwrap();
    let error = client.get("http://localhost:1/").send().await.unwrap_err();
    let denied = find_denial(&error).unwrap().to_string();
    assert!(denied.contains("(the address of localhost)"), "{denied}");
}

#[tokio::test]
async fn a_request_to_an_allowed_name_is_sent() {
    steadfast_process::crypto::install();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    let client = Egress::from(EgressPolicy::LOCAL).client().unwrap();
    let request = tokio::spawn(client.get(url).send());
    listener.accept().await.unwrap();
    request.abort();
}

#[tokio::test]
async fn requests_go_through_the_proxy_which_resolves_the_names() {
    let proxy = SmallProxy::start(None).await;
    let egress = Egress {
        policy: EgressPolicy::PUBLIC,
        outbound: proxy.outbound("localhost", "", ""),
    };
    let url = checked(EgressPolicy::PUBLIC, "http://only-the-proxy-knows.example.com/v1?a=b").unwrap();
    let response = egress.client().unwrap().get(url).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "hi");
    assert_eq!(
        proxy.seen(),
        ["GET http://only-the-proxy-knows.example.com/v1?a=b HTTP/1.1"]
    );
}

#[tokio::test]
async fn a_tunnel_through_the_proxy_trusts_the_bundle_of_the_installation() {
    let (port, certificate) = tls_server("inspected.example.com").await;
    let proxy = SmallProxy::start(Some(port)).await;
    let get = |ca_bundle: &str| {
        let egress = Egress {
            policy: EgressPolicy::PUBLIC,
            outbound: proxy.outbound("localhost", "", ca_bundle),
        };
        egress.client().unwrap().get("https://inspected.example.com/").send()
    };
    assert!(get("").await.unwrap_err().is_connect());
    assert_eq!(get(&certificate).await.unwrap().text().await.unwrap(), "hi");
    assert_eq!(proxy.seen(), ["CONNECT inspected.example.com:443 HTTP/1.1"; 2]);
}

/// What the policy promises behind a proxy: it needs no address for any of these.
#[test]
fn addresses_and_known_names_are_refused_behind_a_proxy_too() {
    for url in [
        "http://169.254.169.254/latest",
        "http://127.0.0.1:8081/metrics",
        "http://[::ffff:127.0.0.1]/",
        "http://metadata.google.internal/",
    ] {
        assert!(
            matches!(checked(OPEN, url), Err(RequestTargetError::Denied(_))),
            "{url}"
        );
    }
    for url in [
        "http://10.0.0.7/",
        "http://ledger/",
        "http://ledger.bank.svc.cluster.local/",
    ] {
        assert!(
            matches!(checked(EgressPolicy::PUBLIC, url), Err(RequestTargetError::Denied(_))),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_host_without_proxy_is_checked_by_its_addresses() {
    let proxy = SmallProxy::start(None).await;
    let egress = Egress {
        policy: EgressPolicy::PUBLIC,
        outbound: proxy.outbound("127.0.0.1", "localhost", ""),
    };
    let url = checked(EgressPolicy::PUBLIC, "http://localhost:1/").unwrap();
    let error = egress.client().unwrap().get(url).send().await.unwrap_err();
    assert!(find_denial(&error).is_some(), "{error:?}");
    assert_eq!(proxy.seen(), Vec::<String>::new());
}

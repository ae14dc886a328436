//! A TLS front for a gRPC server that has none: it ends TLS, may ask for a client
//! certificate, records the `authorization` header and forwards every request.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use http::{Request, Response, Uri, header::AUTHORIZATION};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::certificates::CertificateAuthority;

/// Whether clients must have a certificate of the same authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    Optional,
    Required,
}

/// A running proxy; it ends when the value is dropped.
#[derive(Debug)]
pub struct TlsProxy {
    address: SocketAddr,
    seen: Seen,
    accepting: JoinHandle<()>,
}

/// The distinct `authorization` headers, in order of their first request. `None` is a request without one.
type Seen = Arc<Mutex<Vec<Option<String>>>>;

impl TlsProxy {
    /// Starts a proxy before `upstream` (`<address>:<port>`, HTTP/2 without TLS). Its certificate
    /// is for `names`.
    pub async fn start(
        upstream: &str,
        authority: &CertificateAuthority,
        names: &[&str],
        clients: ClientCertificates,
    ) -> anyhow::Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(config(authority, names, clients)?));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Seen::default();
        let upstream: Uri = format!("http://{upstream}")
            .parse()
            .context("read the upstream address")?;
        let accepting = tokio::spawn(accept(listener, acceptor, upstream, seen.clone()));
        Ok(Self {
            address,
            seen,
            accepting,
        })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The distinct `authorization` headers of all requests so far, in order of their first request.
    /// `None` stands for requests without one.
    pub fn authorizations(&self) -> Vec<Option<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Forwarder {
    client: Client<HttpConnector, Incoming>,
    upstream: Uri,
    seen: Seen,
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, upstream: Uri, seen: Seen) {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build(HttpConnector::new());
    let forwarder = Arc::new(Forwarder { client, upstream, seen });
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, forwarder) = (acceptor.clone(), forwarder.clone());
        tokio::spawn(async move {
            let stream = match acceptor.accept(stream).await {
                Ok(stream) => stream,
                // A test that refuses a client on purpose expects it; the client has the error.
                Err(error) => return tracing::debug!(%error, "a TLS handshake failed"),
            };
            let service = service_fn(move |request| forward(forwarder.clone(), request));
            let served = auto::Builder::new(TokioExecutor::new())
                .http2_only()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection through the TLS proxy ended");
            }
        });
    }
}

async fn forward(forwarder: Arc<Forwarder>, mut request: Request<Incoming>) -> anyhow::Result<Response<Incoming>> {
    record(&request, &forwarder.seen);
    let mut parts = forwarder.upstream.clone().into_parts();
    parts.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(parts)?;
    Ok(forwarder.client.request(request).await?)
}

fn record(request: &Request<Incoming>, seen: &Seen) {
    let header = request.headers().get(AUTHORIZATION);
    let header = header.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if !seen.contains(&header) {
        seen.push(header);
    }
}

fn config(
    authority: &CertificateAuthority,
    names: &[&str],
    clients: ClientCertificates,
) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let server = authority.server(names)?;
    let chain = CertificateDer::pem_file_iter(&server.certificate)?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier(authority, clients, provider)?)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(&server.key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn verifier(
    authority: &CertificateAuthority,
    clients: ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.certificate())?)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    Ok(match clients {
        ClientCertificates::Required => verifier.build()?,
        ClientCertificates::Optional => verifier.allow_unauthenticated().build()?,
    })
}

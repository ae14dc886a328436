//! Connections to a real Temporal server behind TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use clap::Parser;
use steadfast_process::{ErrorChain, crypto};
use steadfast_temporal::{TemporalArgs, TemporalClient, TemporalError, TemporalSettings, connect_until_stopped};
use steadfast_testkit::{CertificateAuthority, ClientCertificates, Temporal, TemporalOptions, TlsProxy};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeNamespaceRequest;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    temporal: TemporalArgs,
}

/// One server for all tests; each has a proxy and an authority of its own.
async fn server() -> &'static Temporal {
    static SERVER: OnceCell<Temporal> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async {
            crypto::install();
            Temporal::start(TemporalOptions::default()).await.unwrap()
        })
        .await
}

struct Front {
    authority: CertificateAuthority,
    proxy: TlsProxy,
}

impl Front {
    async fn start(names: &[&str], clients: ClientCertificates) -> Self {
        let temporal = server().await;
        let authority = CertificateAuthority::new().unwrap();
        let proxy = TlsProxy::start(&temporal.address(), &authority, names, clients)
            .await
            .unwrap();
        Self { authority, proxy }
    }

    fn address(&self) -> String {
        format!("--temporal-address=localhost:{}", self.proxy.port())
    }

    fn trust(&self) -> String {
        format!("--temporal-tls-ca-path={}", self.authority.certificate().display())
    }

    fn client_certificate(&self) -> [String; 2] {
        let files = self.authority.client("program").unwrap();
        [
            format!("--temporal-tls-cert-path={}", files.certificate.display()),
            format!("--temporal-tls-key-path={}", files.key.display()),
        ]
    }
}

fn settings(arguments: impl IntoIterator<Item = String>) -> TemporalSettings {
    let arguments = std::iter::once("program".to_owned()).chain(arguments);
    TemporalSettings::new(&Program::try_parse_from(arguments).unwrap().temporal).unwrap()
}

async fn describe_namespace(settings: TemporalSettings) -> Result<String, TemporalError> {
    let client = TemporalClient::new(settings, "steadfast-test", REQUEST_TIMEOUT);
    let request = DescribeNamespaceRequest {
        namespace: client.namespace().to_owned(),
        ..Default::default()
    };
    let response = client
        .request(request, <dyn WorkflowService>::describe_namespace)
        .await?;
    Ok(response.namespace_info.unwrap().name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_when_it_is_set() {
    let front = Front::start(&["localhost"], ClientCertificates::Optional).await;
    let settings = settings([front.address(), front.trust()]);
    assert_eq!(describe_namespace(settings).await.unwrap(), "default");
    assert_eq!(front.proxy.authorizations(), [None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_an_unknown_authority_is_refused() {
    let front = Front::start(&["localhost"], ClientCertificates::Optional).await;
    let stranger = CertificateAuthority::new().unwrap();
    let trust = format!("--temporal-tls-ca-path={}", stranger.certificate().display());
    let error = describe_namespace(settings([front.address(), trust]))
        .await
        .unwrap_err();
    assert!(matches!(error, TemporalError::Connect(_)), "{error:?}");
    let chain = ErrorChain(&error).to_string();
    assert!(chain.contains("UnknownIssuer"), "{chain}");
    assert_eq!(front.proxy.authorizations(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_name_that_differs_from_the_address_can_be_set() {
    let front = Front::start(&["frontend.temporal.example"], ClientCertificates::Optional).await;
    let error = describe_namespace(settings([front.address(), front.trust()]))
        .await
        .unwrap_err();
    let chain = ErrorChain(&error).to_string();
    assert!(chain.contains("NotValidForName"), "{chain}");
    let name = "--temporal-tls-server-name=frontend.temporal.example".to_owned();
    let settings = settings([front.address(), front.trust(), name]);
    assert_eq!(describe_namespace(settings).await.unwrap(), "default");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frontend_that_demands_a_client_certificate_gets_one() {
    let front = Front::start(&["localhost"], ClientCertificates::Required).await;
    let error = describe_namespace(settings([front.address(), front.trust()]))
        .await
        .unwrap_err();
    assert!(matches!(error, TemporalError::Connect(_)), "{error:?}");
    let [certificate, key] = front.client_certificate();
    let settings = settings([front.address(), front.trust(), certificate, key]);
    assert_eq!(describe_namespace(settings).await.unwrap(), "default");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_the_api_key() {
    let front = Front::start(&["localhost"], ClientCertificates::Optional).await;
    let key = "--temporal-api-key=secret-key".to_owned();
    let settings = settings([front.address(), front.trust(), key]);
    assert_eq!(describe_namespace(settings).await.unwrap(), "default");
    assert_eq!(front.proxy.authorizations(), [Some("Bearer secret-key".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_namespace_is_an_error_of_the_settings() {
    let address = format!("--temporal-address={}", server().await.address());
    let namespace = "--temporal-namespace=nowhere".to_owned();
    let error = describe_namespace(settings([address, namespace])).await.unwrap_err();
    assert!(matches!(error, TemporalError::NamespaceNotFound(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_needs_temporal_connects_or_stops() {
    let front = Front::start(&["localhost"], ClientCertificates::Optional).await;
    let stop = CancellationToken::new();
    let good = settings([front.address(), front.trust()]);
    assert!(connect_until_stopped(&good, "steadfast-test", &stop).await.is_some());

    let stranger = CertificateAuthority::new().unwrap();
    let trust = format!("--temporal-tls-ca-path={}", stranger.certificate().display());
    let bad = settings([front.address(), trust]);
    let connecting = tokio::spawn({
        let stop = stop.clone();
        async move { connect_until_stopped(&bad, "steadfast-test", &stop).await.is_some() }
    });
    stop.cancel();
    assert!(!connecting.await.unwrap());
}

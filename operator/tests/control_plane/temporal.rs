//! The operator as a program reaches a Temporal frontend behind mutual TLS.

use anyhow::ensure;
use steadfast_testkit::{
    CertificateAuthority, ClientCertificates, Temporal, TemporalOptions, TlsProxy,
    process::{Launch, Lifetime, Service},
};

use crate::harness::{Cluster, TIMEOUT};

#[tokio::test]
async fn the_flags_of_temporal_reach_the_connection() {
    let cluster = Cluster::new("temporal-tls").await;
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let authority = CertificateAuthority::new().unwrap();
    let proxy = TlsProxy::start(
        &temporal.address(),
        &authority,
        &["frontend.example"],
        ClientCertificates::Required,
    )
    .await
    .unwrap();
    let client = authority.client("operator").unwrap();
    let launch = Launch::new("operator", env!("CARGO_BIN_EXE_steadfast-operator"))
        .path_flag("temporal-tls-ca-path", authority.certificate())
        .path_flag("temporal-tls-cert-path", &client.certificate)
        .path_flag("temporal-tls-key-path", &client.key)
        .flag("temporal-tls-server-name", "frontend.example")
        .flag("temporal-address", format_args!("localhost:{}", proxy.port()))
        .flag("install-id", "test")
        .flag("worker-image", "worker:1")
        .flag("redis-url", "redis://redis:6379")
        .flag("namespace", &cluster.namespace)
        .flag("operator-namespace", &cluster.namespace)
        .flag("leader-election", "disabled")
        .flag("admin-address", "127.0.0.1:0")
        .variable("TEMPORAL_API_KEY", "key-of-the-operator")
        .variable("KUBECONFIG", cluster.kubeconfig.display());
    let logs = authority.certificate().with_file_name("logs");
    let operator = Service::new(launch, Lifetime::OfThisProcess, &logs).unwrap();
    operator.start().unwrap();
    // It lists the schedules as soon as it acts.
    operator
        .ready(TIMEOUT, async || {
            ensure!(!proxy.authorizations().is_empty(), "no request has reached Temporal");
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(proxy.authorizations(), [Some("Bearer key-of-the-operator".to_owned())]);
    operator.kill().await.unwrap();
}

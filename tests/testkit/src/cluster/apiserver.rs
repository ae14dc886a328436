//! kube-apiserver.

use std::{net::Ipv4Addr, path::Path};

use anyhow::Context as _;
use http::Request;
use kube::Client;

use super::{SERVICE_RANGE, audit::AuditLog, certificates::Certificates, etcd};
use crate::process::Launch;

/// Whether pods can reach the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The API server publishes itself as the Service `kubernetes`.
    Published,
    /// A loopback address, which Kubernetes refuses to publish.
    Private,
}

/// The address of the API server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    pub address: Ipv4Addr,
    pub port: u16,
    pub endpoint: Endpoint,
}

pub(crate) fn launch(
    program: &Path,
    listener: Listener,
    etcd_port: u16,
    certificates: &Certificates,
    token_file: &Path,
    audit: Option<&AuditLog>,
) -> Launch {
    let reconciler = match listener.endpoint {
        Endpoint::Published => "lease",
        Endpoint::Private => "none",
    };
    let launch = Launch::new("kube-apiserver", program)
        .flag("bind-address", listener.address)
        .flag("advertise-address", listener.address)
        .flag("secure-port", listener.port)
        .flag("endpoint-reconciler-type", reconciler)
        .flag("etcd-servers", etcd::client_url(etcd_port))
        .path_flag("tls-cert-file", certificates.server())
        .path_flag("tls-private-key-file", certificates.server_key())
        .path_flag("client-ca-file", certificates.authority())
        .path_flag("kubelet-client-certificate", certificates.kubelet_client())
        .path_flag("kubelet-client-key", certificates.kubelet_client_key())
        .flag("kubelet-preferred-address-types", "InternalIP")
        .path_flag("token-auth-file", token_file)
        .flag("authorization-mode", "Node,RBAC")
        .flag("enable-admission-plugins", "NodeRestriction")
        .flag("allow-privileged", true)
        .flag("service-cluster-ip-range", SERVICE_RANGE)
        .flag("service-account-issuer", "https://kubernetes.default.svc")
        .path_flag("service-account-signing-key-file", certificates.service_account_key())
        .path_flag("service-account-key-file", certificates.service_account_public_key())
        .flag("profiling", false);
    match audit {
        Some(audit) => audit.apply(launch),
        None => launch,
    }
}

/// `/readyz` succeeds; it includes etcd and the built-in roles.
pub(crate) async fn is_ready(client: &Client) -> anyhow::Result<()> {
    let request = Request::get("/readyz").body(Vec::new()).context("build a request")?;
    client.request_text(request).await.map(drop).context("ask for /readyz")
}

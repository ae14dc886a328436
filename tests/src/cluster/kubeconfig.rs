//! Kubeconfig files and clients made of them.

use std::path::Path;

use anyhow::Context as _;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::certificates::write_private;
use super::users::User;
use crate::http_client;

const CLUSTER: &str = "steadfast";

/// Writes the file with which this user reaches the API server at this URL.
pub fn write(path: &Path, url: &str, authority: &Path, user: &User) -> anyhow::Result<()> {
    let text = build(url, authority, user).to_string();
    if std::fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    write_private(path, &text)
}

/// JSON, which every reader of YAML reads.
fn build(url: &str, authority: &Path, user: &User) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": CLUSTER,
            "cluster": {"server": url, "certificate-authority": authority},
        }],
        "users": [{"name": user.name, "user": {"token": user.token}}],
        "contexts": [{
            "name": CLUSTER,
            "context": {"cluster": CLUSTER, "user": user.name, "namespace": "default"},
        }],
        "current-context": CLUSTER,
    })
}

/// A client that is this user.
pub async fn client(url: &str, authority: &Path, user: &User) -> anyhow::Result<Client> {
    http_client::install_tls_provider();
    let kubeconfig = Kubeconfig {
        clusters: vec![NamedCluster {
            name: CLUSTER.to_owned(),
            cluster: Some(Cluster {
                server: Some(url.to_owned()),
                certificate_authority: Some(authority.display().to_string()),
                ..Cluster::default()
            }),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: user.name.clone(),
            auth_info: Some(AuthInfo {
                token: Some(user.token.clone().into()),
                ..AuthInfo::default()
            }),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: CLUSTER.to_owned(),
            context: Some(Context {
                cluster: CLUSTER.to_owned(),
                user: Some(user.name.clone()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some(CLUSTER.to_owned()),
        ..Kubeconfig::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("make a client configuration")?;
    Client::try_from(config).context("make a Kubernetes client")
}

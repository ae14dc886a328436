//! Kubeconfig files, and clients made from them.

use std::path::Path;

use anyhow::Context as _;
use kube::{
    Client, Config,
    config::{AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext},
};

use super::users::User;
use crate::{files, http_client};

const CLUSTER: &str = "steadfast";

/// Writes the kubeconfig of this user for the API server at this URL, as JSON,
/// which is YAML too.
pub(crate) fn write(path: &Path, url: &str, authority: &Path, user: &User) -> anyhow::Result<()> {
    let text = serde_json::to_string(&build(url, authority, user)).context("write a kubeconfig")?;
    files::write_private(path, &text)
}

/// A client with the rights of this user.
pub(crate) async fn client(url: &str, authority: &Path, user: &User) -> anyhow::Result<Client> {
    http_client::install_tls_provider();
    let kubeconfig = build(url, authority, user);
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("build a client configuration")?;
    Client::try_from(config).context("build a Kubernetes client")
}

fn build(url: &str, authority: &Path, user: &User) -> Kubeconfig {
    Kubeconfig {
        api_version: Some("v1".to_owned()),
        kind: Some("Config".to_owned()),
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
                namespace: Some("default".to_owned()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some(CLUSTER.to_owned()),
        ..Kubeconfig::default()
    }
}

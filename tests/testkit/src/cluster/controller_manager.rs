//! kube-controller-manager.

use std::path::Path;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use super::certificates::Certificates;
use crate::process::Launch;

/// With the default of 20 requests a second, a test with many objects would
/// measure this limit.
const REQUESTS_PER_SECOND: u32 = 1000;

pub(crate) fn launch(program: &Path, kubeconfig: &Path, certificates: &Certificates, plugins: &Path) -> Launch {
    Launch::new("kube-controller-manager", program)
        .path_flag("kubeconfig", kubeconfig)
        .path_flag("root-ca-file", certificates.authority())
        .path_flag("service-account-private-key-file", certificates.service_account_key())
        .argument("--use-service-account-credentials")
        // The default is a directory below /usr.
        .path_flag("flex-volume-plugin-dir", plugins)
        .flag("leader-elect", false)
        .flag("secure-port", 0)
        .flag("kube-api-qps", REQUESTS_PER_SECOND)
        .flag("kube-api-burst", REQUESTS_PER_SECOND * 2)
}

/// Controllers run: the default namespace has its service account, without which
/// no pod can be created.
pub(crate) async fn is_ready(client: &Client) -> anyhow::Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    accounts
        .get("default")
        .await
        .map(drop)
        .context("get the default service account")
}

//! The operator as a process.

use std::path::{Path, PathBuf};

use super::{BinaryDir, Component, INSTALL, NAMESPACE};
use crate::{install_root::InstallRoot, port, process::Launch};

/// How an operator is started.
#[derive(Clone, Debug)]
pub(crate) struct OperatorSetup {
    kubeconfig: PathBuf,
    watched: Option<String>,
    name: String,
}

impl OperatorSetup {
    /// One that watches all namespaces of the cluster of this kubeconfig file.
    pub(crate) fn new(kubeconfig: &Path) -> Self {
        Self {
            kubeconfig: kubeconfig.to_path_buf(),
            watched: None,
            name: "operator".to_owned(),
        }
    }

    /// Watches only this namespace.
    pub(crate) fn watching(mut self, namespace: &str) -> Self {
        self.watched = Some(namespace.to_owned());
        self
    }

    /// The name of this replica.
    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }
}

/// An operator that is not started yet. `connections` adds the variables by which it and its workers reach Temporal and
/// Redis.
pub(crate) fn operator(
    binaries: &BinaryDir,
    setup: &OperatorSetup,
    connections: impl FnOnce(Launch) -> Launch,
) -> anyhow::Result<Component> {
    let admin = port::lease()?;
    let launch = Launch::new(setup.name.as_str(), binaries.operator()?)
        .variable("KUBECONFIG", setup.kubeconfig.display())
        .variable("STEADFAST_INSTALL", INSTALL)
        .variable("STEADFAST_OPERATOR_NAMESPACE", NAMESPACE)
        .variable("STEADFAST_POD_NAME", &setup.name)
        .variable("STEADFAST_WORKER_IMAGE", "worker:1")
        .variable("STEADFAST_ALLOW_LOCAL_MODELS", true)
        .variable("STEADFAST_ADMIN_ADDRESS", format_args!("127.0.0.1:{}", admin.number()))
        .variable("STEADFAST_LOG_FORMAT", "compact");
    let launch = match &setup.watched {
        Some(namespace) => launch.variable("STEADFAST_WATCH_NAMESPACES", namespace),
        None => launch,
    };
    Component::new(connections(launch), admin, InstallRoot::of_this_process(&setup.name)?)
}

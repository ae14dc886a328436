//! kubectl and helm on one cluster: the local platform's, or an existing one that
//! a context of the user's kubeconfig names.

use anyhow::Context as _;
use tokio::process::Command;

use crate::{platform::Platform, process::output};

/// An administrator of a cluster.
pub trait ClusterAdmin: Sync {
    /// Runs kubectl and returns its standard output.
    fn kubectl(&self, arguments: &[&str]) -> impl Future<Output = anyhow::Result<String>>;

    /// Runs helm and returns its standard output.
    fn helm(&self, arguments: &[&str]) -> impl Future<Output = anyhow::Result<String>>;
}

impl ClusterAdmin for Platform {
    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        Platform::kubectl(self, arguments).await
    }

    async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        Platform::helm(self, arguments).await
    }
}

/// An existing cluster. Needs kubectl and helm on the `PATH`.
#[derive(Clone, Debug)]
pub struct ExistingCluster {
    context: String,
}

impl ExistingCluster {
    /// The cluster of this context of the kubeconfig.
    pub fn of_context(context: impl Into<String>) -> Self {
        Self {
            context: context.into(),
        }
    }

    async fn run(&self, program: &str, flag: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args([flag, &self.context]).args(arguments);
        output(&mut command)
            .await
            .with_context(|| format!("run {program} from the PATH with the context {}", self.context))
    }
}

impl ClusterAdmin for ExistingCluster {
    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run("kubectl", "--context", arguments).await
    }

    async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run("helm", "--kube-context", arguments).await
    }
}

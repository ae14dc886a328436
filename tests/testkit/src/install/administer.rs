//! kubectl and helm on one cluster: the local platform's, or whichever a context
//! of the user's kubeconfig names.

use anyhow::Context as _;
use tokio::process::Command;

use crate::platform::Platform;
use crate::process::output;

/// Somebody who may do everything on a cluster.
pub trait Administer: Sync {
    /// Runs kubectl and gives what it prints.
    fn kubectl(&self, arguments: &[&str]) -> impl Future<Output = anyhow::Result<String>>;

    /// Runs helm and gives what it prints.
    fn helm(&self, arguments: &[&str]) -> impl Future<Output = anyhow::Result<String>>;
}

impl Administer for Platform {
    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        Platform::kubectl(self, arguments).await
    }

    async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        Platform::helm(self, arguments).await
    }
}

/// A cluster that is there already. It is reached with the user's own kubectl
/// and helm, which must be on the `PATH`.
#[derive(Clone, Debug)]
pub struct ExistingCluster {
    context: String,
}

impl ExistingCluster {
    /// The cluster of a context of the kubeconfig.
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
            .with_context(|| format!("run {program} of the PATH in context {}", self.context))
    }
}

impl Administer for ExistingCluster {
    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run("kubectl", "--context", arguments).await
    }

    async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run("helm", "--kube-context", arguments).await
    }
}

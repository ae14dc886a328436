//! Finds the gateway and the token it shall know us by: `--server`, else a
//! port-forward through the kubeconfig; `--token`, else the kubeconfig's, else
//! a requested one.

mod port_forward;
mod token;

use anyhow::Context as _;
use kube::config::KubeConfigOptions;
use url::Url;

use crate::args::ConnectionArguments;
use crate::gateway::Gateway;
use port_forward::PortForward;

/// A gateway within reach.
pub struct Connection {
    pub gateway: Gateway,
    namespace: Option<String>,
    /// Forwards for as long as it lives.
    _forward: Option<PortForward>,
}

impl Connection {
    /// The agent's name as the gateway knows it: `namespace.name`.
    pub fn agent_name(&self, agent: &str) -> String {
        match &self.namespace {
            Some(namespace) if !agent.contains('.') => format!("{namespace}.{agent}"),
            _ => agent.to_owned(),
        }
    }
}

pub async fn connect(arguments: &ConnectionArguments, namespace: Option<&str>) -> anyhow::Result<Connection> {
    match &arguments.server {
        Some(server) => connect_to_server(arguments, server, namespace).await,
        None => connect_through_kubernetes(arguments, namespace).await,
    }
}

async fn connect_to_server(
    arguments: &ConnectionArguments,
    server: &Url,
    namespace: Option<&str>,
) -> anyhow::Result<Connection> {
    let token = match &arguments.token {
        Some(token) => Some(token.clone()),
        // A cluster credential must not cross a network in clear text.
        None if is_private(server) => match load_kubeconfig(arguments.context.as_deref()).await {
            Ok(config) => token::of_kubeconfig(&config).await?,
            Err(_) => None,
        },
        None => None,
    };
    let gateway = Gateway::new(server.clone(), token)?;
    Ok(Connection {
        gateway,
        namespace: namespace.map(str::to_owned),
        _forward: None,
    })
}

async fn connect_through_kubernetes(
    arguments: &ConnectionArguments,
    namespace: Option<&str>,
) -> anyhow::Result<Connection> {
    let config = load_kubeconfig(arguments.context.as_deref())
        .await
        .context("no --server was given, and there is no usable kubeconfig to reach a gateway through")?;
    let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
    let client = kube::Client::try_from(config.clone()).context("set up the Kubernetes client")?;
    let token = match &arguments.token {
        Some(token) => token.clone(),
        None => match token::of_kubeconfig(&config).await? {
            Some(token) => token,
            None => token::request(&client, &namespace, &arguments.service_account).await?,
        },
    };
    let forward = PortForward::start(client, arguments.gateway_namespace.as_deref()).await?;
    let gateway = Gateway::new(forward.url()?, Some(token))?;
    Ok(Connection {
        gateway,
        namespace: Some(namespace),
        _forward: Some(forward),
    })
}

async fn load_kubeconfig(context: Option<&str>) -> anyhow::Result<kube::Config> {
    match context {
        Some(context) => {
            let options = KubeConfigOptions {
                context: Some(context.to_owned()),
                ..KubeConfigOptions::default()
            };
            let config = kube::Config::from_kubeconfig(&options).await;
            config.with_context(|| format!("read context {context} of the kubeconfig"))
        }
        None => kube::Config::infer()
            .await
            .context("read the kubeconfig (KUBECONFIG or ~/.kube/config)"),
    }
}

/// Whether what is sent to this server stays unread on the way.
fn is_private(server: &Url) -> bool {
    server.scheme() == "https"
        || match server.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn cluster_credentials_go_only_where_nobody_can_read_them() {
        let private = |url: &str| is_private(&url.parse().unwrap());
        assert!(private("https://steadfast.example.com"));
        assert!(private("http://localhost:8080"));
        assert!(private("http://127.0.0.1:8080") && private("http://[::1]:8080"));
        assert!(!private("http://steadfast.example.com"));
        assert!(!private("http://10.0.0.7:8080"));
    }
}

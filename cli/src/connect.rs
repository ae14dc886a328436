//! Finds the gateway and a token for it. The gateway is `--server`, or else a
//! port-forward through the kubeconfig. The token is `--token`, or else the token
//! of the kubeconfig, or else a new token of a service account.

mod port_forward;
mod token;

use anyhow::Context as _;
use kube::config::KubeConfigOptions;
use url::Url;

use crate::api::GatewayClient;
use crate::args::ConnectionArguments;
use crate::progress::during;
use port_forward::PortForward;

/// A gateway that can be reached, until this value is dropped.
pub(crate) struct Connection {
    pub(crate) client: GatewayClient,
    namespace: Option<String>,
    _forward: Option<PortForward>,
}

impl Connection {
    /// The agent's name for the gateway: `namespace.name`.
    pub(crate) fn agent_name(&self, agent: &str) -> String {
        match &self.namespace {
            Some(namespace) if !agent.contains('.') => format!("{namespace}.{agent}"),
            _ => agent.to_owned(),
        }
    }
}

pub(crate) async fn connect(arguments: &ConnectionArguments) -> anyhow::Result<Connection> {
    let connection = async {
        match &arguments.server {
            Some(server) => connect_to_server(arguments, server).await,
            None => connect_through_kubernetes(arguments).await,
        }
    };
    during("connect to the gateway", connection).await
}

async fn connect_to_server(arguments: &ConnectionArguments, server: &Url) -> anyhow::Result<Connection> {
    let token = match &arguments.token {
        Some(token) => Some(token.clone()),
        // The token of the cluster must not be sent in clear text.
        None if keeps_secrets(server) => match load_kubeconfig(arguments.context.as_deref()).await {
            Ok(config) => token::from_kubeconfig(&config).await?,
            Err(_) => None,
        },
        None => None,
    };
    let client = GatewayClient::new(server.clone(), token)?;
    Ok(Connection {
        client,
        namespace: arguments.namespace.clone(),
        _forward: None,
    })
}

async fn connect_through_kubernetes(arguments: &ConnectionArguments) -> anyhow::Result<Connection> {
    let config = load_kubeconfig(arguments.context.as_deref())
        .await
        .context("cannot find a gateway: pass --server, or use a kubeconfig")?;
    let namespace = arguments
        .namespace
        .as_ref()
        .unwrap_or(&config.default_namespace)
        .to_owned();
    let kubernetes = kube::Client::try_from(config.clone()).context("set up the Kubernetes client")?;
    let audience = arguments.token_audience.as_deref();
    let known = match (&arguments.token, audience) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(_)) => None,
        (None, None) => token::from_kubeconfig(&config).await?,
    };
    let token = match known {
        Some(token) => token,
        None => token::request(&kubernetes, &namespace, &arguments.service_account, audience).await?,
    };
    let forward = PortForward::start(kubernetes, arguments.gateway_namespace.as_deref()).await?;
    let client = GatewayClient::new(forward.url()?, Some(token))?;
    Ok(Connection {
        client,
        namespace: Some(namespace),
        _forward: Some(forward),
    })
}

/// The cluster of a context of the kubeconfig, or of the current one.
pub(crate) async fn load_kubeconfig(context: Option<&str>) -> anyhow::Result<kube::Config> {
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

/// Whether nobody can read a request to this server on its way.
fn keeps_secrets(server: &Url) -> bool {
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
    use super::*;

    #[test]
    fn the_token_of_the_kubeconfig_is_sent_over_tls_or_loopback_only() {
        let keeps = |url: &str| keeps_secrets(&url.parse().unwrap());
        assert!(keeps("https://steadfast.example.com"));
        assert!(keeps("http://localhost:8080"));
        assert!(keeps("http://127.0.0.1:8080") && keeps("http://[::1]:8080"));
        assert!(!keeps("http://steadfast.example.com"));
        assert!(!keeps("http://10.0.0.7:8080"));
    }
}

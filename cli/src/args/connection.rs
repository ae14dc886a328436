//! The gateway, and who calls it.

use clap::Args;
use url::Url;

/// The gateway, and the credentials for it.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArguments {
    /// Namespace of the Agents and of the service account. Default: the namespace of the kubeconfig context.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    /// URL of the gateway. Default: a port-forward to the gateway in the cluster of the kubeconfig.
    #[arg(long, value_name = "URL", env = "STEADFAST_SERVER")]
    pub(crate) server: Option<Url>,
    /// Bearer token. Default: the token of the kubeconfig, or else a new token of --service-account.
    #[arg(long, env = "STEADFAST_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Context of the kubeconfig. Default: the current context.
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Service account to request a token for. It is in the Agent's namespace.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) service_account: String,
    /// Audience of the token to request, for a gateway that accepts only tokens of its own audience. The token of the
    /// kubeconfig is not used then.
    #[arg(long, value_name = "AUDIENCE", env = "STEADFAST_TOKEN_AUDIENCE")]
    pub(crate) token_audience: Option<String>,
    /// Namespace of the gateway. Default: all namespaces are searched for a gateway.
    #[arg(long, value_name = "NAMESPACE", env = "STEADFAST_GATEWAY_NAMESPACE")]
    pub(crate) gateway_namespace: Option<String>,
}

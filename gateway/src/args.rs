//! The command line and the environment. No other module reads the environment.

use std::{net::SocketAddr, path::PathBuf};

use axum::http::{HeaderName, HeaderValue};
use clap::{Args as ClapArgs, Parser};
use ipnet::IpNet;
use steadfast_attachment_store::AttachmentArgs;
use steadfast_eventlog::RedisArgs;
use steadfast_gateway::{HistoryLimits, LinkTemplate, PathPrefix, RateLimits};
use steadfast_process::{LogFormat, outbound::OutboundArgs};
use steadfast_temporal::TemporalArgs;

/// The HTTP surfaces of Steadfast.
#[derive(Debug, Parser)]
#[command(name = "steadfast-gateway", version)]
pub(crate) struct Args {
    /// Address and port for clients.
    #[arg(long, env = "STEADFAST_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Address and port for probes and metrics.
    #[arg(long, env = "STEADFAST_ADMIN_ADDRESS", default_value = "0.0.0.0:8081")]
    pub admin_address: SocketAddr,

    /// Id of this installation; part of every name outside of Kubernetes.
    #[arg(long, env = "STEADFAST_INSTALL", default_value = "steadfast")]
    pub install_id: String,

    /// Kubernetes namespace whose agents have no prefix in their names for clients.
    #[arg(long, env = "STEADFAST_DEFAULT_NAMESPACE", default_value = "default")]
    pub default_namespace: String,

    /// Namespaces whose agents are served, separated by commas. Default: all namespaces.
    #[arg(long = "namespace", env = "STEADFAST_WATCH_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,

    #[command(flatten)]
    pub temporal: TemporalArgs,

    /// Size of a run's history at which Temporal ends it: `limit.historySize.error` of the server, in bytes. Messages
    /// are refused before that.
    #[arg(long, env = "STEADFAST_HISTORY_LIMIT_BYTES", default_value_t = HistoryLimits::default().bytes)]
    pub history_limit_bytes: u64,

    /// Length of a run's history at which Temporal ends it: `limit.historyCount.error` of the server.
    #[arg(long, env = "STEADFAST_HISTORY_LIMIT_EVENTS", default_value_t = HistoryLimits::default().events)]
    pub history_limit_events: u64,

    #[command(flatten)]
    pub redis: RedisArgs,

    #[command(flatten)]
    pub attachments: AttachmentArgs,

    /// Directory of AgentRevision files; serves their agents instead of those of a Kubernetes cluster.
    #[arg(long, env = "STEADFAST_REVISIONS")]
    pub revisions: Option<PathBuf>,

    /// Audiences of which a client's token must have one, separated by commas [default: those of the API server].
    #[arg(long, env = "STEADFAST_TOKEN_AUDIENCES", value_delimiter = ',')]
    pub token_audiences: Vec<String>,

    /// Secrets with API keys, separated by commas, in the namespace of the gateway. Their entries are made by
    /// `steadfast api-keys create`.
    #[arg(long = "api-key-secret", env = "STEADFAST_API_KEY_SECRETS", value_delimiter = ',')]
    pub api_key_secrets: Vec<String>,

    #[command(flatten)]
    pub oidc: OidcArgs,

    #[command(flatten)]
    pub proxy: ProxyArgs,

    #[command(flatten)]
    pub rates: RateArgs,

    /// Networks of proxies in front of the gateway, separated by commas, such as 10.0.0.0/8: the address of a client is
    /// what they have added to X-Forwarded-For. Nobody's word is taken by default.
    #[arg(long, env = "STEADFAST_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,

    /// Path below which a proxy that does not remove it reaches the gateway, such as /steadfast.
    #[arg(long, env = "STEADFAST_PATH_PREFIX")]
    pub path_prefix: Option<PathPrefix>,

    /// Origins of pages that may call the gateway from a browser, separated by commas, such as https://chat.example.com;
    /// * for any. None by default.
    #[arg(long, env = "STEADFAST_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<HeaderValue>,

    /// Origins of Temporal UIs whose pages may ask for decrypted payloads, separated by commas, such as
    /// https://temporal.example.com; turns the codec endpoint on. Whoever may get agents/alltasks in all namespaces can
    /// use it.
    #[arg(long, env = "STEADFAST_CODEC_ORIGINS", value_delimiter = ',')]
    pub codec_origins: Vec<HeaderValue>,

    /// Headers whose value names a conversation of a client of OpenAI's APIs that sends the conversation again with each
    /// message, separated by commas: each value is one task.
    #[arg(
        long,
        env = "STEADFAST_CONVERSATION_HEADERS",
        value_delimiter = ',',
        default_value = "x-conversation-id,x-openwebui-chat-id"
    )]
    pub conversation_headers: Vec<HeaderName>,

    /// Do not serve the console, the page for people at `/`.
    #[arg(long, env = "STEADFAST_NO_CONSOLE", value_parser = clap::builder::BoolishValueParser::new())]
    pub no_console: bool,

    /// File with the prices of models, in YAML; the console shows what turns cost.
    #[arg(long, env = "STEADFAST_MODEL_PRICES")]
    pub model_prices: Option<PathBuf>,

    /// URL of a task in Temporal's UI, with {namespace}, {workflowId} and {runId}, such as
    /// https://temporal.example.com/namespaces/{namespace}/workflows/{workflowId}/{runId}/history.
    #[arg(long, env = "STEADFAST_TEMPORAL_UI_URL")]
    pub temporal_ui_url: Option<LinkTemplate>,

    /// URL of the trace of a task, with {traceId}, such as https://jaeger.example.com/trace/{traceId}.
    #[arg(long, env = "STEADFAST_TRACE_URL")]
    pub trace_url: Option<LinkTemplate>,

    /// Accept every request without a token. For local use only.
    #[arg(long)]
    pub insecure_allow_anonymous: bool,

    /// Forbid users to decide the approvals of tasks that they created, and of turns that answer their message.
    #[arg(long, env = "STEADFAST_FORBID_SELF_APPROVAL", value_parser = clap::builder::BoolishValueParser::new())]
    pub forbid_self_approval: bool,

    /// The way out of the cluster, for traces and attachments.
    #[command(flatten)]
    pub outbound: OutboundArgs,

    /// Format of log lines.
    #[arg(long, env = "STEADFAST_LOG_FORMAT", default_value_t)]
    pub log_format: LogFormat,

    /// Filter for log lines, such as `info` or `steadfast_gateway=debug,info`.
    #[arg(long, env = "STEADFAST_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// An OpenID Connect issuer whose tokens are accepted besides those of the API server. The names are those of the API
/// server's flags.
#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_field_names, reason = "the names of the flags")]
pub(crate) struct OidcArgs {
    /// URL of an OpenID Connect issuer, exactly as in its tokens (`iss`). Its tokens are accepted then.
    #[arg(long, env = "STEADFAST_OIDC_ISSUER", requires = "oidc_audiences")]
    pub oidc_issuer: Option<String>,

    /// Audiences of which a token of the issuer must have one, separated by commas: client ids.
    #[arg(long = "oidc-audience", env = "STEADFAST_OIDC_AUDIENCES", value_delimiter = ',')]
    pub oidc_audiences: Vec<String>,

    /// Claim that names the user.
    #[arg(long, env = "STEADFAST_OIDC_USERNAME_CLAIM", default_value = "sub")]
    pub oidc_username_claim: String,

    /// Put before the name of the user; - for nothing [default: the URL of the issuer and #, nothing for the claim email].
    #[arg(long, env = "STEADFAST_OIDC_USERNAME_PREFIX")]
    pub oidc_username_prefix: Option<String>,

    /// Claim with the groups of the user [default: no groups].
    #[arg(long, env = "STEADFAST_OIDC_GROUPS_CLAIM")]
    pub oidc_groups_claim: Option<String>,

    /// Put before the name of each group.
    #[arg(long, env = "STEADFAST_OIDC_GROUPS_PREFIX", default_value = "")]
    pub oidc_groups_prefix: String,

    /// Client id with which the console signs people in at the issuer, as a public client; one of the audiences. The
    /// console asks for a token when absent.
    #[arg(long, env = "STEADFAST_OIDC_CLIENT_ID", requires = "oidc_issuer")]
    pub oidc_client_id: Option<String>,

    /// What the console asks of the issuer, separated by commas; openid among it.
    #[arg(
        long = "oidc-scope",
        env = "STEADFAST_OIDC_SCOPES",
        value_delimiter = ',',
        default_value = "openid,profile,email"
    )]
    pub oidc_scopes: Vec<String>,
}

/// A proxy in front of the gateway at which people sign in.
#[derive(Debug, ClapArgs)]
pub(crate) struct ProxyArgs {
    /// Header in which the trusted proxies name the user, such as X-Forwarded-User. Whoever else sends it is refused.
    #[arg(long, env = "STEADFAST_PROXY_USER_HEADER", requires = "trusted_proxies")]
    pub proxy_user_header: Option<HeaderName>,

    /// Header in which the trusted proxies name the groups of the user, separated by commas [default: no groups].
    #[arg(long, env = "STEADFAST_PROXY_GROUPS_HEADER", requires = "proxy_user_header")]
    pub proxy_groups_header: Option<HeaderName>,
}

/// What one user may send to one replica. Callers of a gateway without authentication have no such limits.
#[derive(Debug, ClapArgs)]
pub(crate) struct RateArgs {
    /// Requests of one user in a second; 0 for no limit.
    #[arg(long, env = "STEADFAST_REQUESTS_PER_SECOND", default_value_t = RateLimits::default().requests_per_second)]
    pub requests_per_second: u32,

    /// Requests of one user at once, after a pause.
    #[arg(long, env = "STEADFAST_REQUEST_BURST", default_value_t = RateLimits::default().request_burst)]
    pub request_burst: u32,

    /// KiB of request bodies of one user in a second; 0 for no limit.
    #[arg(long, env = "STEADFAST_BODY_KIB_PER_SECOND", default_value_t = RateLimits::default().body_kib_per_second)]
    pub body_kib_per_second: u32,

    /// KiB of request bodies of one user at once, after a pause; at least the longest body.
    #[arg(long, env = "STEADFAST_BODY_KIB_BURST", default_value_t = RateLimits::default().body_kib_burst,
        value_parser = clap::value_parser!(u32).range(2048..))]
    pub body_kib_burst: u32,
}

impl From<&RateArgs> for RateLimits {
    fn from(args: &RateArgs) -> Self {
        Self {
            requests_per_second: args.requests_per_second,
            request_burst: args.request_burst,
            body_kib_per_second: args.body_kib_per_second,
            body_kib_burst: args.body_kib_burst,
        }
    }
}

/// All environment variables: those of AWS configure the store of attachments.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    #[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

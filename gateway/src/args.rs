//! The command line and the environment. No other module reads the environment.

use std::{net::SocketAddr, path::PathBuf};

use axum::http::{HeaderName, HeaderValue};
use clap::Parser;
use steadfast_eventlog::RedisArgs;
use steadfast_gateway::HistoryLimits;
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

    /// Directory of AgentRevision files; serves their agents instead of those of a Kubernetes cluster.
    #[arg(long, env = "STEADFAST_REVISIONS")]
    pub revisions: Option<PathBuf>,

    /// Audiences of which a client's token must have one, separated by commas [default: those of the API server].
    #[arg(long, env = "STEADFAST_TOKEN_AUDIENCES", value_delimiter = ',')]
    pub token_audiences: Vec<String>,

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

    /// Accept every request without a token. For local use only.
    #[arg(long)]
    pub insecure_allow_anonymous: bool,

    /// Forbid users to decide the approvals of tasks that they created, and of turns that answer their message.
    #[arg(long, env = "STEADFAST_FORBID_SELF_APPROVAL", value_parser = clap::builder::BoolishValueParser::new())]
    pub forbid_self_approval: bool,

    /// The way out of the cluster, for traces.
    #[command(flatten)]
    pub outbound: OutboundArgs,

    /// Format of log lines.
    #[arg(long, env = "STEADFAST_LOG_FORMAT", default_value_t)]
    pub log_format: LogFormat,

    /// Filter for log lines, such as `info` or `steadfast_gateway=debug,info`.
    #[arg(long, env = "STEADFAST_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

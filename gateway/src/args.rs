//! What the command line and the environment say. Nothing else reads the environment.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use steadfast_eventlog::RedisArgs;
use steadfast_process::LogFormat;
use steadfast_temporal::TemporalArgs;

/// The HTTP surfaces of Steadfast.
#[derive(Debug, Parser)]
#[command(name = "steadfast-gateway", version)]
pub struct Args {
    /// Where clients connect.
    #[arg(long, env = "STEADFAST_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Where probes and metrics are served.
    #[arg(long, env = "STEADFAST_ADMIN_ADDRESS", default_value = "0.0.0.0:8081")]
    pub admin_address: SocketAddr,

    /// Name of this installation; part of every name that leaves Kubernetes.
    #[arg(long, env = "STEADFAST_INSTALL", default_value = "steadfast")]
    pub install_id: String,

    /// Namespace whose agents clients see without a prefix.
    #[arg(long, env = "STEADFAST_DEFAULT_NAMESPACE", default_value = "default")]
    pub default_namespace: String,

    #[command(flatten)]
    pub temporal: TemporalArgs,

    #[command(flatten)]
    pub redis: RedisArgs,

    /// Folder of AgentRevision files to serve instead of the Agents of a Kubernetes cluster.
    #[arg(long, env = "STEADFAST_REVISIONS")]
    pub revisions: Option<PathBuf>,

    /// Audiences that a client's token must be meant for; the API server's own when none is given.
    #[arg(long, env = "STEADFAST_TOKEN_AUDIENCES", value_delimiter = ',')]
    pub token_audiences: Vec<String>,

    /// Lets everyone do everything, unauthenticated. For local use only.
    #[arg(long)]
    pub insecure_allow_anonymous: bool,

    /// Who created a task may not decide its approvals.
    #[arg(long, env = "STEADFAST_FORBID_SELF_APPROVAL", value_parser = clap::builder::BoolishValueParser::new())]
    pub forbid_self_approval: bool,

    /// Format of the log.
    #[arg(long, env = "STEADFAST_LOG_FORMAT", default_value_t)]
    pub log_format: LogFormat,

    /// Which log lines are written, as a tracing filter.
    #[arg(long, env = "STEADFAST_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

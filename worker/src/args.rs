//! What the worker is told from outside. The only place that reads the environment.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use steadfast_eventlog::RedisArgs;
use steadfast_process::LogFormat;
use steadfast_temporal::TemporalArgs;
use url::Url;

/// Runs the turns, model calls and tools of one agent.
#[derive(Clone, Debug, Parser)]
#[command(name = "steadfast-worker", version)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct Args {
    /// Name of the installation; part of every name outside Kubernetes.
    #[arg(long, env = "STEADFAST_INSTALL", default_value = "steadfast")]
    pub install: String,
    /// Kubernetes namespace of the agent.
    #[arg(long, env = "STEADFAST_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Name of the agent.
    #[arg(
        long,
        env = "STEADFAST_AGENT",
        required_unless_present = "print_tools",
        default_value = ""
    )]
    pub agent: String,
    /// Temporal task queue to serve; by default the one that follows from install, namespace and agent.
    #[arg(long, env = "STEADFAST_TASK_QUEUE")]
    pub task_queue: Option<String>,
    /// Name of the pod; its last part tells workers apart in Temporal.
    #[arg(long, env = "HOSTNAME")]
    pub hostname: Option<String>,
    /// Folder with AgentRevision manifests, instead of Kubernetes.
    #[arg(long, env = "STEADFAST_REVISIONS")]
    pub revisions: Option<PathBuf>,
    #[command(flatten)]
    pub temporal: TemporalArgs,
    #[command(flatten)]
    pub redis: RedisArgs,
    /// Sends all model calls here instead of to `model.baseUrl`: for tests and local models.
    #[arg(long, env = "STEADFAST_MODEL_BASE_URL")]
    pub model_base_url: Option<Url>,
    /// Whether http tools, MCP servers and webhooks may be Services of the cluster and private addresses.
    #[arg(long, env = "STEADFAST_ALLOW_CLUSTER_SERVICES", default_value_t = true, action = clap::ArgAction::Set)]
    pub allow_cluster_services: bool,
    /// Lets http tools, MCP servers and webhooks be on this machine: for tests and local use, never in a cluster.
    #[arg(long, env = "STEADFAST_INSECURE_ALLOW_LOOPBACK", default_value_t = false, action = clap::ArgAction::Set)]
    pub insecure_allow_loopback: bool,
    /// Whether spans hold what people, models and tools say.
    #[arg(long, env = "STEADFAST_CAPTURE_CONTENT", default_value_t = false, action = clap::ArgAction::Set)]
    pub capture_content: bool,
    /// Prints the AgentTools of the tools built into this program, and ends.
    #[arg(long)]
    pub print_tools: bool,
    /// Where health and metrics are served.
    #[arg(long, env = "STEADFAST_ADMIN_ADDRESS", default_value = "0.0.0.0:8081")]
    pub admin_address: SocketAddr,
    /// How long running activities may go on after the word to stop, in seconds.
    #[arg(long, env = "STEADFAST_DRAIN_TIMEOUT_SECONDS", default_value_t = 120)]
    pub drain_timeout_seconds: u64,
    /// Log format.
    #[arg(long, env = "STEADFAST_LOG_FORMAT", default_value_t)]
    pub log_format: LogFormat,
    /// Log filter, e.g. `info` or `info,steadfast_worker=debug`.
    #[arg(long, env = "STEADFAST_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// The variables an agent may name in `apiKeyEnvVar` and `${env.NAME}`: which ones is known only from its revisions.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    #[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

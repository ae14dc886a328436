//! Command line and environment of the worker. The only module that reads the environment.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use steadfast_attachment_store::AttachmentArgs;
use steadfast_eventlog::RedisArgs;
use steadfast_process::{LogFormat, outbound::OutboundArgs};
use steadfast_temporal::TemporalArgs;
use url::Url;

/// Runs the turns, model calls and tool calls of one agent, or of the agents on a WorkerPool.
#[derive(Clone, Debug, Parser)]
#[command(name = "steadfast-worker", version)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(crate) struct Args {
    /// ID of the installation; part of every name outside Kubernetes.
    #[arg(long, env = "STEADFAST_INSTALL", default_value = "steadfast")]
    pub(crate) install: String,
    /// Kubernetes namespace of the agent or of the pool.
    #[arg(long, env = "STEADFAST_NAMESPACE", default_value = "default")]
    pub(crate) namespace: String,
    /// Name of the agent.
    #[arg(
        long,
        env = "STEADFAST_AGENT",
        required_unless_present_any = ["print_tools", "worker_pool"],
        default_value = ""
    )]
    pub(crate) agent: String,
    /// Name of the WorkerPool, in place of an agent: this process serves the agents that are on it.
    #[arg(long, env = "STEADFAST_WORKER_POOL", conflicts_with = "agent")]
    pub(crate) worker_pool: Option<String>,
    /// Temporal task queue of the worker [default: INSTALL/NAMESPACE/agent/AGENT, or INSTALL/NAMESPACE/pool/POOL].
    #[arg(long, env = "STEADFAST_TASK_QUEUE")]
    pub(crate) task_queue: Option<String>,
    /// Name of the pod; its last part is the worker's identity in Temporal.
    #[arg(long, env = "HOSTNAME")]
    pub(crate) hostname: Option<String>,
    /// Name that this process and the one that takes its place after a crash have, and no other; in Kubernetes the name
    /// of the pod.
    #[arg(long, env = "STEADFAST_PROCESS_NAME")]
    pub(crate) process_name: Option<String>,
    /// Directory with AgentRevision manifests, instead of Kubernetes.
    #[arg(long, env = "STEADFAST_REVISIONS")]
    pub(crate) revisions: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) temporal: TemporalArgs,
    /// Name of the Temporal Worker Deployment of this worker. Its tasks are pinned to the build id for as long as a run
    /// lasts, and continue as new on the current version [default: the worker has no version].
    #[arg(long, env = "TEMPORAL_DEPLOYMENT_NAME", requires = "build_id")]
    pub(crate) deployment_name: Option<String>,
    /// Build id of this worker in its Worker Deployment.
    #[arg(long, env = "TEMPORAL_WORKER_BUILD_ID", requires = "deployment_name")]
    pub(crate) build_id: Option<String>,
    #[command(flatten)]
    pub(crate) redis: RedisArgs,
    #[command(flatten)]
    pub(crate) attachments: AttachmentArgs,
    /// The most MiB of events that the log of a task keeps in Redis; older events are read from Temporal.
    #[arg(long, env = "STEADFAST_LOG_MAX_MIB", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) log_max_mib: u16,
    /// The most MiB of tasks in memory; a task above it is removed and replayed when it goes on [default: a quarter of
    /// the container's memory limit, from 16 to 128].
    #[arg(long, env = "STEADFAST_CACHE_MIB", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) cache_mib: Option<u16>,
    /// Base URL of all model calls, instead of `model.baseUrl` of the Agent: for tests and local models.
    #[arg(long, env = "STEADFAST_MODEL_BASE_URL")]
    pub(crate) model_base_url: Option<Url>,
    /// Allows http tools, MCP servers and webhooks at cluster Services and private addresses.
    #[arg(long, env = "STEADFAST_ALLOW_CLUSTER_SERVICES", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) allow_cluster_services: bool,
    /// Allows `model.baseUrl` at cluster Services, private addresses and loopback addresses, for local model servers.
    #[arg(long, env = "STEADFAST_ALLOW_LOCAL_MODELS", default_value_t = false, action = clap::ArgAction::Set)]
    pub(crate) allow_local_models: bool,
    #[command(flatten)]
    pub(crate) outbound: OutboundArgs,
    /// Allows http tools, MCP servers and webhooks at loopback addresses: for tests and local use, never in a cluster.
    #[arg(long, env = "STEADFAST_INSECURE_ALLOW_LOOPBACK", default_value_t = false, action = clap::ArgAction::Set)]
    pub(crate) insecure_allow_loopback: bool,
    /// Records prompts, responses, tool arguments and tool results in spans.
    #[arg(long, env = "STEADFAST_CAPTURE_CONTENT", default_value_t = false, action = clap::ArgAction::Set)]
    pub(crate) capture_content: bool,
    /// Prints the AgentTool manifests of the tools in this program and exits.
    #[arg(long)]
    pub(crate) print_tools: bool,
    /// Address of the health probes and the metrics.
    #[arg(long, env = "STEADFAST_ADMIN_ADDRESS", default_value = "0.0.0.0:8081")]
    pub(crate) admin_address: SocketAddr,
    /// Seconds that running activities get to finish after a shutdown signal.
    #[arg(long, env = "STEADFAST_DRAIN_TIMEOUT_SECONDS", default_value_t = 120)]
    pub(crate) drain_timeout_seconds: u64,
    /// Log format.
    #[arg(long, env = "STEADFAST_LOG_FORMAT", default_value_t)]
    pub(crate) log_format: LogFormat,
    /// Log filter, e.g. `info` or `info,steadfast_worker=debug`.
    #[arg(long, env = "STEADFAST_LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: String,
}

/// All environment variables: the revisions of the agent decide which ones `apiKeyEnvVar` and `${env.NAME}` use.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    #[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

//! Command line and environment of the operator. The only place that reads
//! either; all other code works on [`crate::config::Config`].

use std::{ffi::OsString, net::SocketAddr};

use clap::{Parser, ValueEnum};
use steadfast_process::{LogFormat, outbound::OutboundArgs};
use steadfast_temporal::TemporalArgs;

use crate::{
    MANAGER,
    settings::{ImagePullPolicy, SecretKey, SecretVariable, Variable, parse_install_id},
};

/// Steadfast's operator: creates the workers of Agents.
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
#[derive(Clone, Debug, Parser)]
#[command(
    name = "steadfast-operator",
    version,
    after_help = "steadfast-operator release-agents --help: what to run before the operator is uninstalled"
)]
// Required here: the address is for workers too, and no server listens on the default address in their pods.
#[command(mut_arg("temporal_address", |address| address.required(true).default_value(None)))]
pub struct Args {
    /// Namespace to watch; may be given several times. Default: all namespaces.
    #[arg(long = "namespace", env = "STEADFAST_WATCH_NAMESPACES", value_delimiter = ',')]
    pub(crate) namespaces: Vec<String>,

    /// Namespace of the operator. It holds the operator's Lease and the Secret with the key of the credentials hash.
    #[arg(long, env = "STEADFAST_OPERATOR_NAMESPACE", default_value = "steadfast-system")]
    pub(crate) operator_namespace: String,

    /// Install id, a part of every name outside of Kubernetes (task queues, Redis keys).
    #[arg(long, env = "STEADFAST_INSTALL", value_parser = parse_install_id)]
    pub(crate) install_id: String,

    /// Id of a cluster that is gone and had this install id (the UID of its namespace kube-system): this operator takes
    /// over its schedules in Temporal; may be given several times.
    #[arg(
        long = "take-over-cluster",
        env = "STEADFAST_TAKE_OVER_CLUSTERS",
        value_delimiter = ','
    )]
    pub(crate) take_over_clusters: Vec<String>,

    /// Worker image of Agents that set none.
    #[arg(long, env = "STEADFAST_WORKER_IMAGE")]
    pub(crate) worker_image: String,

    /// When nodes pull worker images.
    #[arg(long, env = "STEADFAST_WORKER_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    pub(crate) image_pull_policy: ImagePullPolicy,

    #[command(flatten)]
    pub(crate) temporal: TemporalArgs,

    /// URL of the Redis to which workers write their event log. Use --redis-url-secret if the URL has a password.
    #[arg(long, env = "REDIS_URL", required_unless_present = "redis_url_secret")]
    pub(crate) redis_url: Option<String>,

    /// The Redis URL as NAME/KEY of a Secret in each Agent's namespace.
    #[arg(long, env = "STEADFAST_REDIS_URL_SECRET", conflicts_with = "redis_url")]
    pub(crate) redis_url_secret: Option<SecretKey>,

    /// Another variable of every worker, NAME=VALUE; may be given several times.
    #[arg(long = "worker-env")]
    pub(crate) worker_env: Vec<Variable>,

    /// The most MiB of events that the log of a task keeps in Redis.
    #[arg(long, env = "STEADFAST_LOG_MAX_MIB", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) log_max_mib: u16,

    /// Another variable of every worker, NAME=SECRET/KEY, from a Secret in each Agent's namespace.
    #[arg(long = "worker-secret-env")]
    pub(crate) worker_secret_env: Vec<SecretVariable>,

    /// Name of the Secret in each Agent's namespace from which workers read their encryption keys; it needs the same
    /// keys as --encryption-keys-path. Without it workers neither encrypt nor decrypt.
    #[arg(long, env = "STEADFAST_WORKER_ENCRYPTION_SECRET")]
    pub(crate) worker_encryption_secret: Option<String>,

    /// Whether http tools, MCP servers and webhooks of workers may reach Services of the cluster, true or false.
    #[arg(
        long,
        env = "STEADFAST_ALLOW_CLUSTER_SERVICES",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) allow_cluster_services: bool,

    /// Whether `model.baseUrl` of an Agent may be a local address (a Service of the cluster, a private or a loopback
    /// address), true or false.
    #[arg(
        long,
        env = "STEADFAST_ALLOW_LOCAL_MODELS",
        default_value_t = false,
        action = clap::ArgAction::Set
    )]
    pub(crate) allow_local_models: bool,

    /// Whether `worker.podTemplate` of an Agent or a WorkerPool may name another ServiceAccount, true or false: whoever may
    /// create Agents then has the permissions of every ServiceAccount in the namespace.
    #[arg(
        long,
        env = "STEADFAST_ALLOW_SERVICE_ACCOUNT_NAME",
        default_value_t = false,
        action = clap::ArgAction::Set
    )]
    pub(crate) allow_service_account_name: bool,

    /// The way out of the operator itself, for its traces; workers get theirs by --worker-env.
    #[command(flatten)]
    pub outbound: OutboundArgs,

    /// URL to which workers send traces (OTLP). Default: workers send no traces.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,

    /// Whether traces of workers contain prompts and answers, true or false.
    #[arg(
        long,
        env = "STEADFAST_CAPTURE_CONTENT",
        default_value_t = false,
        action = clap::ArgAction::Set
    )]
    pub(crate) capture_content: bool,

    /// The most objects of one kind that are reconciled at the same time.
    #[arg(long, env = "STEADFAST_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,

    /// How long changes to one object are collected before it is reconciled, in milliseconds.
    #[arg(long, env = "STEADFAST_DEBOUNCE_MILLISECONDS", default_value_t = 100)]
    pub(crate) debounce_milliseconds: u64,

    /// How often the schedules in Temporal are compared with those of the Agents when no Agent changes, in seconds.
    #[arg(
        long,
        env = "STEADFAST_SCHEDULE_RESYNC_SECONDS",
        default_value_t = 600,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) schedule_resync_seconds: u64,

    /// The least time between two polls of Temporal for what waits for the workers of one Agent or WorkerPool with
    /// `autoscaling`, in seconds. With more than 375 of them it is longer: all polls together are 50 requests per second.
    #[arg(
        long,
        env = "STEADFAST_AUTOSCALING_INTERVAL_SECONDS",
        default_value_t = 15,
        value_parser = clap::value_parser!(u64).range(1..=60)
    )]
    pub(crate) autoscaling_interval_seconds: u64,

    /// Whether a Lease elects the one replica that acts.
    #[arg(long, env = "STEADFAST_LEADER_ELECTION", default_value = "enabled")]
    pub(crate) leader_election: LeaderElection,

    /// Name of this replica in the Lease, so that `kubectl get lease` shows the pod that acts.
    #[arg(long, env = "STEADFAST_POD_NAME", default_value = MANAGER)]
    pub(crate) pod_name: String,

    /// Address of probes and metrics.
    #[arg(long, env = "STEADFAST_ADMIN_ADDRESS", default_value = "0.0.0.0:8081")]
    pub(crate) admin_address: SocketAddr,

    /// Format of log lines: json or compact.
    #[arg(long, env = "STEADFAST_LOG_FORMAT", default_value_t)]
    pub log_format: LogFormat,

    /// Log level, or directives such as info,kube=debug.
    #[arg(long, env = "STEADFAST_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Lets all Agents go before the operator is uninstalled: takes the finalizer for their tasks (spec.deletion) from each.
/// The operator that runs ends, and starts again a minute later if it is still installed.
#[derive(Clone, Debug, Parser)]
#[command(name = "steadfast-operator release-agents", version)]
pub struct ReleaseArgs {
    /// Namespace whose Agents are let go; may be given several times. Default: all namespaces.
    #[arg(long = "namespace", env = "STEADFAST_WATCH_NAMESPACES", value_delimiter = ',')]
    pub(crate) namespaces: Vec<String>,

    /// Namespace of the operator, with its Lease.
    #[arg(long, env = "STEADFAST_OPERATOR_NAMESPACE", default_value = "steadfast-system")]
    pub(crate) operator_namespace: String,

    /// Install id of the operator.
    #[arg(long, env = "STEADFAST_INSTALL", value_parser = parse_install_id)]
    pub(crate) install_id: String,

    /// Whether a Lease elects the operator that acts. It is taken over first.
    #[arg(long, env = "STEADFAST_LEADER_ELECTION", default_value = "enabled")]
    pub(crate) leader_election: LeaderElection,

    /// Name of this process in the Lease.
    #[arg(long, env = "STEADFAST_POD_NAME", default_value = "release-agents")]
    pub(crate) pod_name: String,

    /// Format of log lines: json or compact.
    #[arg(long, env = "STEADFAST_LOG_FORMAT", default_value_t)]
    pub log_format: LogFormat,

    /// Log level, or directives such as info,kube=debug.
    #[arg(long, env = "STEADFAST_LOG_LEVEL", default_value = "info")]
    pub log_level: String,

    /// The way out, for traces.
    #[command(flatten)]
    pub outbound: OutboundArgs,
}

/// What the program is to do.
#[derive(Debug)]
pub enum Invocation {
    /// Run the operator.
    Operate(Box<Args>),
    /// Let all Agents go.
    ReleaseAgents(Box<ReleaseArgs>),
}

impl Invocation {
    /// Reads the command line; ends the process with a message when it is wrong.
    #[must_use]
    pub fn parse() -> Self {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        if arguments.get(1).is_some_and(|first| first == "release-agents") {
            Self::ReleaseAgents(Box::new(ReleaseArgs::parse_from(arguments.iter().skip(1))))
        } else {
            Self::Operate(Box::new(Args::parse_from(arguments)))
        }
    }
}

/// Whether a Lease elects the replica that acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LeaderElection {
    /// One replica acts, the others wait for the Lease.
    Enabled,
    /// This process acts at once; run only one.
    Disabled,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
        ReleaseArgs::command().debug_assert();
    }

    #[test]
    fn a_redis_url_must_be_given_in_one_form() {
        let base = [
            "steadfast-operator",
            "--install-id",
            "demo",
            "--worker-image",
            "worker:1",
            "--temporal-address",
            "temporal:7233",
        ];
        assert!(Args::try_parse_from(base).is_err());
        let args = Args::try_parse_from(base.into_iter().chain(["--redis-url-secret", "redis/url"])).unwrap();
        assert_eq!(
            args.redis_url_secret,
            Some(SecretKey {
                secret: "redis".to_owned(),
                key: "url".to_owned()
            })
        );
    }
}

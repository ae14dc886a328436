//! The configuration of the operator, made from its arguments.

use std::{net::SocketAddr, time::Duration};

use steadfast_temporal::{SettingsError, TemporalSettings};

use crate::{
    args::{Args, LeaderElection},
    kube::watch::WatchScope,
    schedules::mark::ClusterId,
    settings::{SecretVariable, Settings, Variable, WorkerEncryption},
};

/// A status is as old as this at most, and a request of a few kilobytes costs little.
const OFFERS_INTERVAL: Duration = Duration::from_secs(15);

/// The configuration of the operator.
#[derive(Clone, Debug)]
pub struct Config {
    /// The watched namespaces; each scope has controllers of its own.
    pub scopes: Vec<WatchScope>,
    /// Namespace of the operator.
    pub operator_namespace: String,
    /// Settings of all workers.
    pub settings: Settings,
    /// The Temporal that runs the schedules; without it the schedules of Agents are ignored.
    pub temporal: Option<TemporalSettings>,
    /// Clusters that are gone, and whose schedules in Temporal this operator takes over.
    pub take_over_clusters: Vec<ClusterId>,
    /// The most objects of one kind that are reconciled at the same time.
    pub concurrency: u16,
    /// How long changes to one object are collected.
    pub debounce: Duration,
    /// Interval in which workers are asked what MCP servers offer.
    pub offers_interval: Duration,
    /// How often schedules are compared when no Agent changes.
    pub schedule_resync: Duration,
    /// The least time between two polls of Temporal for one owner with autoscaling.
    pub autoscaling_interval: Duration,
    /// Whether a Lease elects the replica that acts.
    pub leader_election: LeaderElection,
    /// Name of this replica in the Lease.
    pub pod_name: String,
    /// Address of probes and metrics.
    pub admin_address: SocketAddr,
}

impl TryFrom<Args> for Config {
    type Error = SettingsError;

    fn try_from(args: Args) -> Result<Self, Self::Error> {
        Ok(Self {
            scopes: scopes(&args.namespaces),
            temporal: Some(TemporalSettings::new(&args.temporal)?),
            settings: Settings {
                worker_env: worker_env(&args),
                worker_secret_env: worker_secret_env(&args),
                worker_encryption: worker_encryption(&args),
                install_id: args.install_id,
                worker_image: args.worker_image,
                image_pull_policy: args.image_pull_policy,
                allow_service_account_name: args.allow_service_account_name,
            },
            take_over_clusters: args.take_over_clusters.into_iter().map(ClusterId).collect(),
            operator_namespace: args.operator_namespace,
            concurrency: args.concurrency,
            debounce: Duration::from_millis(args.debounce_milliseconds),
            offers_interval: OFFERS_INTERVAL,
            schedule_resync: Duration::from_secs(args.schedule_resync_seconds),
            autoscaling_interval: Duration::from_secs(args.autoscaling_interval_seconds),
            leader_election: args.leader_election,
            pod_name: args.pod_name,
            admin_address: args.admin_address,
        })
    }
}

/// The scopes of the flag `--namespace`: the whole cluster without one.
pub(crate) fn scopes(namespaces: &[String]) -> Vec<WatchScope> {
    let named = namespaces.iter().filter(|namespace| !namespace.is_empty());
    let mut scopes: Vec<WatchScope> = named.cloned().map(WatchScope::Namespace).collect();
    if scopes.is_empty() {
        scopes.push(WatchScope::Cluster);
    }
    scopes
}

fn worker_env(args: &Args) -> Vec<Variable> {
    let variable = |name: &str, value: String| Variable {
        name: name.to_owned(),
        value,
    };
    let temporal = args.temporal.environment();
    let mut variables: Vec<Variable> = temporal
        .into_iter()
        .map(|(name, value)| variable(name, value))
        .collect();
    variables.extend(args.redis_url.clone().map(|url| variable("REDIS_URL", url)));
    variables.push(variable("STEADFAST_LOG_MAX_MIB", args.log_max_mib.to_string()));
    variables.push(variable(
        "STEADFAST_ALLOW_CLUSTER_SERVICES",
        args.allow_cluster_services.to_string(),
    ));
    variables.push(variable(
        "STEADFAST_ALLOW_LOCAL_MODELS",
        args.allow_local_models.to_string(),
    ));
    let otlp_endpoint = args.otlp_endpoint.clone().filter(|endpoint| !endpoint.is_empty());
    variables.extend(otlp_endpoint.map(|endpoint| variable("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)));
    variables.push(variable("STEADFAST_CAPTURE_CONTENT", args.capture_content.to_string()));
    variables.extend(args.worker_env.clone());
    variables
}

fn worker_secret_env(args: &Args) -> Vec<SecretVariable> {
    let redis_url = args.redis_url_secret.clone().map(|source| SecretVariable {
        name: "REDIS_URL".to_owned(),
        source,
    });
    redis_url
        .into_iter()
        .chain(args.worker_secret_env.iter().cloned())
        .collect()
}

fn worker_encryption(args: &Args) -> Option<WorkerEncryption> {
    let secret = args.worker_encryption_secret.clone().filter(|name| !name.is_empty())?;
    let key_id = args.temporal.encryption_key_id.clone().filter(|id| !id.is_empty());
    Some(WorkerEncryption { secret, key_id })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn worker_env(arguments: &[&str]) -> Vec<(String, String)> {
        let base = [
            "steadfast-operator",
            "--install-id=demo",
            "--worker-image=worker:1",
            "--temporal-address=temporal:7233",
            "--redis-url=redis://redis",
        ];
        let args = Args::try_parse_from(base.iter().chain(arguments)).unwrap();
        let variables = Config::try_from(args).unwrap().settings.worker_env;
        variables.into_iter().map(|v| (v.name, v.value)).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_environment_of_workers_follows_the_arguments() {
        let defaults = worker_env(&["--otlp-endpoint="]);
        assert_eq!(
            defaults,
            [
                pair("TEMPORAL_ADDRESS", "temporal:7233"),
                pair("TEMPORAL_NAMESPACE", "default"),
                pair("REDIS_URL", "redis://redis"),
                pair("STEADFAST_LOG_MAX_MIB", "16"),
                pair("STEADFAST_ALLOW_CLUSTER_SERVICES", "true"),
                pair("STEADFAST_ALLOW_LOCAL_MODELS", "false"),
                pair("STEADFAST_CAPTURE_CONTENT", "false"),
            ]
        );
        let set = worker_env(&[
            "--log-max-mib=1",
            "--allow-cluster-services=false",
            "--allow-local-models=true",
            "--otlp-endpoint=http://collector:4317",
            "--capture-content=true",
            "--worker-env=A=b",
        ]);
        assert_eq!(
            set[3..],
            [
                pair("STEADFAST_LOG_MAX_MIB", "1"),
                pair("STEADFAST_ALLOW_CLUSTER_SERVICES", "false"),
                pair("STEADFAST_ALLOW_LOCAL_MODELS", "true"),
                pair("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
                pair("STEADFAST_CAPTURE_CONTENT", "true"),
                pair("A", "b"),
            ]
        );
    }

    #[test]
    fn workers_use_tls_when_the_operator_is_told_to() {
        let variables = worker_env(&["--temporal-tls", "--temporal-tls-server-name=temporal.example.com"]);
        assert!(variables.contains(&pair("TEMPORAL_TLS", "true")));
        assert!(variables.contains(&pair("TEMPORAL_TLS_SERVER_NAME", "temporal.example.com")));
    }
}

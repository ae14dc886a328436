//! The operator as a value: configuration in, controllers running until told
//! to stop or until the Lease is lost.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::{StreamExt as _, channel::mpsc, future};
use kube::{
    Client,
    runtime::{
        controller,
        events::{Recorder, Reporter},
        reflector,
    },
};
use steadfast_process::{AdminServer, Readiness, prometheus};
use steadfast_temporal::{SettingsError, TemporalSettings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    MANAGER,
    agent_controller::{
        self,
        context::{AppliedMarks, Caches, Context, RevisionDigests},
        run::AgentQueue,
    },
    args::{Args, LeaderElection, SecretVariable, Variable},
    backoff::Backoff,
    contents::Contents,
    hash_key,
    keyed_hash::KeyedHash,
    leader,
    metrics::Metrics,
    reference_index::ReferenceIndex,
    schedules::{keeper::Keeper, temporal::ScheduleClient},
    settings::Settings,
    tool_controller,
    watch::{Scope, StoreFeed},
};

/// Everything the operator needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is watched; each scope has controllers of its own.
    pub scopes: Vec<Scope>,
    /// Namespace the operator runs in.
    pub operator_namespace: String,
    /// What all workers have in common.
    pub settings: Settings,
    /// Where schedules are kept; without it Agents' schedules do not run.
    pub temporal: Option<TemporalSettings>,
    /// Objects of one kind reconciled at the same time, at most.
    pub concurrency: u16,
    /// How long changes to one object are collected.
    pub debounce: Duration,
    /// Whether a Lease decides who acts.
    pub leader_election: LeaderElection,
    /// Who this replica is in the Lease.
    pub pod_name: String,
    /// Address of probes and metrics.
    pub admin_address: SocketAddr,
}

impl TryFrom<Args> for Config {
    type Error = SettingsError;

    fn try_from(args: Args) -> Result<Self, SettingsError> {
        let mut scopes: Vec<Scope> = args
            .namespaces
            .into_iter()
            .filter(|namespace| !namespace.is_empty())
            .map(Scope::Namespace)
            .collect();
        if scopes.is_empty() {
            scopes.push(Scope::Cluster);
        }
        let variable = |name: &str, value: String| Variable {
            name: name.to_owned(),
            value,
        };
        let temporal = TemporalSettings::new(&args.temporal)?;
        let mut worker_env: Vec<_> = args
            .temporal
            .environment()
            .into_iter()
            .map(|(name, value)| variable(name, value))
            .collect();
        worker_env.extend(args.redis_url.map(|url| variable("REDIS_URL", url)));
        worker_env.push(variable(
            "STEADFAST_ALLOW_CLUSTER_SERVICES",
            args.allow_cluster_services.to_string(),
        ));
        let otlp_endpoint = args.otlp_endpoint.filter(|endpoint| !endpoint.is_empty());
        worker_env.extend(otlp_endpoint.map(|endpoint| variable("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)));
        worker_env.push(variable("STEADFAST_CAPTURE_CONTENT", args.capture_content.to_string()));
        worker_env.extend(args.worker_env);
        let redis_secret = args.redis_url_secret;
        let mut worker_secret_env: Vec<SecretVariable> = redis_secret
            .map(|source| SecretVariable {
                name: "REDIS_URL".to_owned(),
                source,
            })
            .into_iter()
            .collect();
        worker_secret_env.extend(args.worker_secret_env);
        Ok(Self {
            scopes,
            operator_namespace: args.operator_namespace,
            settings: Settings {
                install_id: args.install_id,
                worker_image: args.worker_image,
                image_pull_policy: args.image_pull_policy,
                worker_env,
                worker_secret_env,
            },
            temporal: Some(temporal),
            concurrency: args.concurrency,
            debounce: Duration::from_millis(args.debounce_milliseconds),
            leader_election: args.leader_election,
            pod_name: args.pod_name,
            admin_address: args.admin_address,
        })
    }
}

/// Why the operator ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A client cannot be made from the configuration.
    #[error("make a client for the Kubernetes API")]
    Client(#[source] kube::Error),
    /// The metrics cannot be set up.
    #[error("set up metrics")]
    Metrics(#[from] prometheus::Error),
    /// There is no key to hash credentials with.
    #[error("get the key of the credentials hash")]
    HashKey(#[from] hash_key::Error),
    /// This replica may not act.
    #[error("lead")]
    Leader(#[from] leader::Error),
}

/// Runs the operator until `stop`. `admin` is where probes and metrics are asked for.
pub async fn run(
    config: Config,
    kube_config: kube::Config,
    admin: TcpListener,
    stop: CancellationToken,
) -> Result<(), Error> {
    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry)?;
    let readiness = Readiness::new();
    // A replica that waits for the Lease is as ready as the one that has it.
    let gauge = readiness.register("kubernetes");
    let admin_server = tokio::spawn(AdminServer::new(readiness, registry).serve(admin, stop.clone().cancelled_owned()));

    let mut lease_config = kube_config.clone();
    lease_config.connect_timeout = Some(leader::REQUEST_TIMEOUT);
    lease_config.read_timeout = Some(leader::REQUEST_TIMEOUT);
    lease_config.write_timeout = Some(leader::REQUEST_TIMEOUT);
    let lease_client = Client::try_from(lease_config).map_err(Error::Client)?;
    let client = Client::try_from(kube_config).map_err(Error::Client)?;
    let hash = hash_key::ensure(&client, &config.operator_namespace).await?;
    gauge.set(true);

    let result = match config.leader_election {
        LeaderElection::Disabled => {
            run_controllers(&config, &client, &hash, &metrics, &stop).await;
            Ok(())
        }
        LeaderElection::Enabled => lead(&config, lease_client, &client, &hash, &metrics, &stop).await,
    };
    stop.cancel();
    if let Err(error) = admin_server.await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the admin server ended badly");
    }
    result
}

async fn lead(
    config: &Config,
    lease_client: Client,
    client: &Client,
    hash: &KeyedHash,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let lease = format!("{MANAGER}-{}", config.settings.install_id);
    let (namespace, pod) = (&config.operator_namespace, &config.pod_name);
    let acquired = leader::acquire(lease_client, namespace, &lease, pod, stop).await?;
    let Some(mut leadership) = acquired else { return Ok(()) };
    tracing::info!(lease, "leading");
    tokio::select! {
        error = leadership.hold() => return Err(error.into()),
        () = run_controllers(config, client, hash, metrics, stop) => {}
    }
    leadership.release().await;
    Ok(())
}

async fn run_controllers(
    config: &Config,
    client: &Client,
    hash: &KeyedHash,
    metrics: &Metrics,
    stop: &CancellationToken,
) {
    let scopes = config
        .scopes
        .iter()
        .map(|scope| run_scope(scope, config, client, hash, metrics, stop));
    future::join_all(scopes).await;
}

/// Both controllers of one scope, with caches of their own.
async fn run_scope(
    scope: &Scope,
    config: &Config,
    client: &Client,
    hash: &KeyedHash,
    metrics: &Metrics,
    stop: &CancellationToken,
) {
    let (agent_store, agent_writer) = reflector::store();
    let (tool_store, tool_writer) = reflector::store();
    let (agent_sender, agent_receiver) = mpsc::unbounded();
    let (tool_sender, tool_receiver) = mpsc::unbounded();
    let agent_queue = AgentQueue::new(agent_sender);

    let agents = Arc::new(Context {
        client: client.clone(),
        settings: config.settings.clone(),
        contents: Contents::new(client.clone(), hash.clone()),
        caches: Caches::new(agent_store.clone(), tool_store.clone()),
        index: ReferenceIndex::default(),
        schedules: Arc::default(),
        applied: AppliedMarks::default(),
        revision_digests: RevisionDigests::default(),
        recorder: Recorder::new(client.clone(), Reporter::from(MANAGER)),
        metrics: metrics.clone(),
        backoff: Backoff::default(),
    });
    let tools = Arc::new(tool_controller::Context {
        client: client.clone(),
        metrics: metrics.clone(),
        backoff: Backoff::default(),
    });

    let keeper = config.temporal.clone().map(|temporal| Keeper {
        client: ScheduleClient::new(temporal),
        install: config.settings.install_id.clone(),
        scope: scope.clone(),
        board: Arc::clone(&agents.schedules),
        queue: agent_queue.clone(),
    });
    let has_keeper = keeper.is_some();
    let watches = future::join(
        future::join_all(agent_controller::run::watches(
            &agents,
            scope,
            StoreFeed::new(agent_writer),
            &agent_queue,
        )),
        tool_controller::run::watch(
            Arc::clone(&agents),
            scope,
            StoreFeed::new(tool_writer),
            tool_sender,
            agent_queue.clone(),
        ),
    );
    let controllers = async {
        tokio::select! {
            () = stop.cancelled() => return,
            () = agents.wait_until_synced() => {}
        }
        tracing::info!(?scope, "caches are filled");
        let limits = || {
            controller::Config::default()
                .concurrency(config.concurrency)
                .debounce(config.debounce)
        };
        let keep_schedules = async {
            if let Some(keeper) = keeper {
                keeper.run(Arc::clone(&agents)).await;
            }
        };
        let controllers = future::join(
            agent_controller::run::run(
                Arc::clone(&agents),
                agent_store,
                agent_receiver.take_until(stop.clone().cancelled_owned()),
                limits(),
            ),
            tool_controller::run::run(
                tools,
                tool_store,
                tool_receiver.take_until(stop.clone().cancelled_owned()),
                limits(),
            ),
        );
        tokio::select! {
            _ = controllers => {}
            // Without a keeper it would end at once.
            () = keep_schedules, if has_keeper => {}
        }
    };
    tokio::select! {
        _ = watches => {}
        () = controllers => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use clap::Parser as _;

    use super::*;

    fn worker_env(further: &[&str]) -> Vec<(String, String)> {
        let base = [
            "steadfast-operator",
            "--install-id=demo",
            "--worker-image=worker:1",
            "--temporal-address=temporal:7233",
            "--redis-url=redis://redis",
        ];
        let args = Args::try_parse_from(base.iter().chain(further)).unwrap();
        let env = Config::try_from(args).unwrap().settings.worker_env;
        env.into_iter().map(|v| (v.name, v.value)).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn workers_are_told_of_cluster_services_and_traces() {
        let plain = worker_env(&["--otlp-endpoint="]);
        assert_eq!(
            plain[3..],
            [
                pair("STEADFAST_ALLOW_CLUSTER_SERVICES", "true"),
                pair("STEADFAST_CAPTURE_CONTENT", "false"),
            ]
        );
        let set = worker_env(&[
            "--allow-cluster-services=false",
            "--otlp-endpoint=http://collector:4317",
            "--capture-content=true",
            "--worker-env=A=b",
        ]);
        assert_eq!(
            set[3..],
            [
                pair("STEADFAST_ALLOW_CLUSTER_SERVICES", "false"),
                pair("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
                pair("STEADFAST_CAPTURE_CONTENT", "true"),
                pair("A", "b"),
            ]
        );
    }
}

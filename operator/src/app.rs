//! Runs the operator: the admin server, leader election, and the controllers of
//! each scope, until it is stopped or the Lease is lost.

pub mod release;
mod scope;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use steadfast_process::{AdminServer, Liveness, Readiness, ReadinessGauge, prometheus};
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    MANAGER,
    args::LeaderElection,
    config::Config,
    hashing::{key_secret, keyed_hash::KeyedHash},
    kube::leader,
    metrics::Metrics,
    rate_limit::RateLimit,
    schedules::mark::ClusterId,
};

/// Every cluster has this namespace, and it is never deleted.
const CLUSTER_NAMESPACE: &str = "kube-system";

/// Why the operator ended without being stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client of the API server cannot be made.
    #[error("make a client for the Kubernetes API")]
    Client(#[source] kube::Error),
    /// The metrics cannot be registered.
    #[error("register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The key of the credentials hash is not available.
    #[error("get the key of the credentials hash")]
    HashKey(#[from] key_secret::Error),
    /// The id of the cluster cannot be read.
    #[error("read the namespace {CLUSTER_NAMESPACE}, whose UID is the id of the cluster")]
    ClusterId(#[source] kube::Error),
    /// This replica may not act.
    #[error("lead")]
    Leader(#[from] leader::Error),
    /// A task panicked.
    #[error("run the controllers")]
    Controllers(#[source] JoinError),
}

/// Runs the operator until `stop` is cancelled. `admin` receives requests for probes and metrics.
pub async fn run(
    config: Config,
    kube_config: kube::Config,
    admin: TcpListener,
    stop: CancellationToken,
) -> Result<(), Error> {
    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry)?;
    let readiness = Readiness::new();
    // A replica that waits for the Lease is as ready as the replica that holds it.
    let gauge = readiness.register("kubernetes");
    let install_id_unique = readiness.register("install_id_unique");
    install_id_unique.set(true);
    let liveness = Liveness::default();
    let admin_server = AdminServer::new(readiness, registry).with_liveness(liveness.clone());
    let admin_server = tokio::spawn(admin_server.serve(admin, stop.clone().cancelled_owned()));

    let mut lease_config = kube_config.clone();
    lease_config.connect_timeout = Some(leader::REQUEST_TIMEOUT);
    lease_config.read_timeout = Some(leader::REQUEST_TIMEOUT);
    lease_config.write_timeout = Some(leader::REQUEST_TIMEOUT);
    let lease_client = Client::try_from(lease_config).map_err(Error::Client)?;
    let client = Client::try_from(kube_config).map_err(Error::Client)?;
    let hash = key_secret::ensure(&client, &config.operator_namespace).await?;
    let cluster = cluster_id(&client).await?;
    gauge.set(true);

    let leader_election = config.leader_election;
    let app = Arc::new(App {
        config,
        client,
        hash,
        cluster,
        install_id_unique,
        rate: Arc::default(),
        backlog_rate: Arc::default(),
        metrics,
        liveness,
        stop: stop.clone(),
    });
    let result = match leader_election {
        LeaderElection::Disabled => app.run_controllers().await,
        LeaderElection::Enabled => app.lead(lease_client).await,
    };
    stop.cancel();
    if let Err(error) = admin_server.await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the admin server failed");
    }
    result
}

async fn cluster_id(client: &Client) -> Result<ClusterId, Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces
        .get_metadata(CLUSTER_NAMESPACE)
        .await
        .map_err(Error::ClusterId)?;
    Ok(ClusterId(namespace.metadata.uid.unwrap_or_default()))
}

/// What the controllers of all scopes share.
struct App {
    config: Config,
    client: Client,
    hash: KeyedHash,
    cluster: ClusterId,
    /// Not ready while another cluster has schedules with this install id.
    install_id_unique: ReadinessGauge,
    /// The rate at which tasks of deleted Agents are asked to end, and tasks of old versions to continue as new.
    rate: Arc<RateLimit>,
    /// The rate at which Temporal is asked how much waits for workers.
    backlog_rate: Arc<RateLimit>,
    metrics: Metrics,
    liveness: Liveness,
    stop: CancellationToken,
}

impl App {
    /// Runs the controllers while this replica holds the Lease.
    async fn lead(self: Arc<Self>, lease_client: Client) -> Result<(), Error> {
        let lease = format!("{MANAGER}-{}", self.config.settings.install_id);
        self.metrics.leads(&lease, false);
        let (namespace, pod) = (&self.config.operator_namespace, &self.config.pod_name);
        let acquired = leader::acquire(lease_client, namespace, &lease, pod, &self.stop).await?;
        let Some(leadership) = acquired else { return Ok(()) };
        self.metrics.leads(&lease, true);
        tracing::info!(lease, "this replica holds the Lease");
        leadership.hold_during(self.run_controllers()).await?
    }

    /// Runs the controllers of every scope until the operator is stopped. Ends all of them when one panics or when this
    /// is dropped.
    async fn run_controllers(self: Arc<Self>) -> Result<(), Error> {
        let mut tasks = JoinSet::new();
        scope::spawn_all(&self, &mut tasks);
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(Error::Controllers)?;
        }
        Ok(())
    }
}

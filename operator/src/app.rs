//! Runs the operator: the admin server, leader election, and the controllers of
//! each scope, until it is stopped or the Lease is lost.

use std::sync::Arc;

use futures::{StreamExt as _, channel::mpsc, future};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    runtime::{
        controller,
        events::{Recorder, Reporter},
        reflector,
    },
};
use steadfast_process::{AdminServer, Readiness, ReadinessGauge, prometheus};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    MANAGER,
    agents::{
        self,
        context::{Caches, Context},
        controller::AgentQueue,
        last_applied::LastApplied,
        reference_index::{Reference, ReferenceIndex},
        revision_history::RevisionDigests,
    },
    args::LeaderElection,
    config::Config,
    hashing::{key_secret, keyed_hash::KeyedHash},
    kube::{
        backoff::Backoff,
        content_cache::{ConfigMapCache, SecretHashCache},
        leader,
        namespaced_name::NamespacedName,
        reflector_feed::ReflectorFeed,
        watch::WatchScope,
    },
    metrics::Metrics,
    schedules::{
        mark::ClusterId,
        plan::{Existence, Ownership},
        syncer::ScheduleSyncer,
        temporal::ScheduleClient,
    },
    tools,
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
    let admin_server = tokio::spawn(AdminServer::new(readiness, registry).serve(admin, stop.clone().cancelled_owned()));

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
    let app = App {
        config,
        client,
        hash,
        cluster,
        install_id_unique,
        metrics,
        stop: stop.clone(),
    };
    let result = match leader_election {
        LeaderElection::Disabled => {
            app.run_controllers().await;
            Ok(())
        }
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
    metrics: Metrics,
    stop: CancellationToken,
}

impl App {
    /// Runs the controllers while this replica holds the Lease.
    async fn lead(&self, lease_client: Client) -> Result<(), Error> {
        let lease = format!("{MANAGER}-{}", self.config.settings.install_id);
        let (namespace, pod) = (&self.config.operator_namespace, &self.config.pod_name);
        let acquired = leader::acquire(lease_client, namespace, &lease, pod, &self.stop).await?;
        let Some(mut leadership) = acquired else { return Ok(()) };
        tracing::info!(lease, "this replica holds the Lease");
        tokio::select! {
            error = leadership.renew_until_lost() => return Err(error.into()),
            () = self.run_controllers() => {}
        }
        leadership.release().await;
        Ok(())
    }

    async fn run_controllers(&self) {
        let scopes = self.config.scopes.iter().map(|scope| self.run_scope(scope));
        future::join_all(scopes).await;
    }

    /// Runs both controllers of one scope, with caches of their own.
    async fn run_scope(&self, scope: &WatchScope) {
        let (agent_store, agent_writer) = reflector::store();
        let (tool_store, tool_writer) = reflector::store();
        let (agent_sender, agent_receiver) = mpsc::unbounded();
        let (tool_sender, tool_receiver) = mpsc::unbounded();
        let agent_queue = AgentQueue::new(agent_sender);
        let context = Arc::new(self.agent_context(Caches::new(agent_store.clone(), tool_store.clone())));

        let push_dependents = {
            let (context, queue) = (Arc::clone(&context), agent_queue.clone());
            move |tool: &NamespacedName| {
                queue.push_dependents(&context, &tool.namespace, Reference::Tool(tool.name.clone()));
            }
        };
        let watches = future::join(
            future::join_all(agents::watches::watches(
                &context,
                scope,
                ReflectorFeed::new(agent_writer),
                &agent_queue,
            )),
            tools::controller::watch(
                &self.client,
                scope,
                ReflectorFeed::new(tool_writer),
                tool_sender,
                push_dependents,
            ),
        );
        let controllers = async {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = context.wait_until_synced() => {}
            }
            tracing::info!(?scope, "the caches are synced");
            let agents = agents::controller::run(
                Arc::clone(&context),
                agent_store,
                agent_receiver.take_until(self.stop.clone().cancelled_owned()),
                self.controller_config(),
            );
            let tools = tools::controller::run(
                Arc::new(self.tool_context()),
                tool_store,
                tool_receiver.take_until(self.stop.clone().cancelled_owned()),
                self.controller_config(),
            );
            tokio::select! {
                _ = future::join(agents, tools) => {}
                () = self.sync_schedules(scope, &context, &agent_queue) => {}
            }
        };
        tokio::select! {
            _ = watches => {}
            () = controllers => {}
        }
    }

    fn agent_context(&self, caches: Caches) -> Context {
        Context {
            client: self.client.clone(),
            settings: self.config.settings.clone(),
            secrets: SecretHashCache::new(self.client.clone(), self.hash.clone()),
            config_maps: ConfigMapCache::new(self.client.clone()),
            caches,
            index: ReferenceIndex::default(),
            schedules: Arc::default(),
            last_applied: LastApplied::default(),
            revision_digests: RevisionDigests::default(),
            recorder: Recorder::new(self.client.clone(), Reporter::from(MANAGER)),
            metrics: self.metrics.clone(),
            backoff: Backoff::default(),
        }
    }

    fn tool_context(&self) -> tools::reconcile::Context {
        tools::reconcile::Context {
            client: self.client.clone(),
            metrics: self.metrics.clone(),
            backoff: Backoff::default(),
        }
    }

    fn controller_config(&self) -> controller::Config {
        controller::Config::default()
            .concurrency(self.config.concurrency)
            .debounce(self.config.debounce)
    }

    /// Keeps Temporal in line with the desired schedules. Never ends.
    async fn sync_schedules(&self, scope: &WatchScope, context: &Arc<Context>, queue: &AgentQueue) {
        let Some(temporal) = self.config.temporal.clone() else {
            return future::pending().await;
        };
        let syncer = ScheduleSyncer {
            client: ScheduleClient::new(temporal, self.cluster.clone()),
            install: self.config.settings.install_id.clone(),
            ownership: Ownership {
                cluster: self.cluster.clone(),
                taken_over: self.config.take_over_clusters.iter().cloned().collect(),
            },
            alone: self.install_id_unique.clone(),
            desired: Arc::clone(&context.schedules),
            existence: |agent: &NamespacedName| {
                if scope.covers(&agent.namespace) && context.caches.agent(agent).is_none() {
                    Existence::Gone
                } else {
                    Existence::Possible
                }
            },
            wake: |agents| queue.push(agents),
        };
        syncer.run().await;
    }
}

//! Lets all Agents go before the operator is uninstalled: takes the finalizer for their tasks from each, so that no
//! deletion waits for an operator that will not come.
//!
//! An operator that still runs would give the finalizer back. So this takes the Lease from it first, waits until it must
//! have noticed, and keeps the Lease for as long as it takes to delete the operator's pods.

use std::time::Duration;

use kube::{Api, Client, api::ListParams};
use steadfast_crds::Agent;
use uuid::Uuid;

use crate::{
    MANAGER,
    agents::deletion,
    args::{LeaderElection, ReleaseArgs},
    config::scopes,
    kube::{
        leader,
        lease::{LeaseLock, LockResult},
        watch::WatchScope,
    },
};

/// How long the operators that run leave the Lease alone afterwards: Helm deletes them meanwhile.
const KEPT: Duration = Duration::from_mins(1);
/// Agents that are listed at a time.
const PAGE_SIZE: u32 = 500;
/// An Agent that somebody else writes at the same moment is written again in the next round.
const ROUNDS: u32 = 10;
const BETWEEN_ROUNDS: Duration = Duration::from_secs(1);

/// Why the Agents cannot be let go.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client of the API server cannot be made.
    #[error("make a client for the Kubernetes API")]
    Client(#[source] kube::Error),
    /// The operator that runs cannot be stopped.
    #[error("take the Lease {0} from the operator that runs")]
    Lease(String, #[source] kube::Error),
    /// The Agents cannot be listed.
    #[error("list the Agents of {0}")]
    List(String, #[source] kube::Error),
    /// A finalizer cannot be removed.
    #[error("take the finalizer from the Agent {0}")]
    Finalizer(String, #[source] kube::Error),
    /// Others write the Agents faster than this can.
    #[error("Agents still have the finalizer after {ROUNDS} rounds; run this again")]
    NotDone,
}

/// Takes the finalizer from every Agent of the watched namespaces.
pub async fn release_agents(args: ReleaseArgs, kube_config: kube::Config) -> Result<(), Error> {
    let client = Client::try_from(kube_config).map_err(Error::Client)?;
    let mut lease = Lease::of(&client, &args);
    if args.leader_election == LeaderElection::Enabled {
        lease.seize().await?;
        tracing::info!("took the Lease; waiting until an operator that runs has noticed");
        tokio::time::sleep(leader::RENEW_DEADLINE).await;
    }
    for _ in 0..ROUNDS {
        let mut remaining = 0;
        for scope in scopes(&args.namespaces) {
            remaining += release_scope(&client, &scope, &mut lease, args.leader_election).await?;
        }
        if remaining == 0 {
            tracing::info!("no Agent has the finalizer any more");
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_ROUNDS).await;
    }
    Err(Error::NotDone)
}

/// Returns how many Agents had the finalizer.
async fn release_scope(
    client: &Client,
    scope: &WatchScope,
    lease: &mut Lease,
    leader_election: LeaderElection,
) -> Result<u32, Error> {
    let api: Api<Agent> = match scope {
        WatchScope::Cluster => Api::all(client.clone()),
        WatchScope::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
    };
    let mut found = 0;
    let mut page = ListParams::default().limit(PAGE_SIZE);
    loop {
        if leader_election == LeaderElection::Enabled {
            lease.seize().await?;
        }
        let agents = match api.list_metadata(&page).await {
            Ok(agents) => agents,
            // The kind is not installed any more.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(found),
            Err(error) => return Err(Error::List(scope.to_string(), error)),
        };
        for agent in agents.items.iter().filter(|agent| deletion::is_held(&agent.metadata)) {
            found += 1;
            let metadata = &agent.metadata;
            let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
            let key = format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
            match deletion::release(client, metadata).await {
                Ok(()) => tracing::info!(agent = key, "the Agent can be deleted without the operator"),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(Error::Finalizer(key, error)),
            }
        }
        match agents.metadata.continue_ {
            Some(token) if !token.is_empty() => page = page.continue_token(&token),
            _ => return Ok(found),
        }
    }
}

/// The Lease of the operator.
struct Lease {
    lock: LeaseLock,
    name: String,
}

impl Lease {
    fn of(client: &Client, args: &ReleaseArgs) -> Self {
        let name = format!("{MANAGER}-{}", args.install_id);
        let identity = format!("{}_{}", args.pod_name, Uuid::new_v4());
        Self {
            lock: LeaseLock::new(client.clone(), &args.operator_namespace, &name, identity, KEPT),
            name,
        }
    }

    /// Writes this process into the Lease, whoever holds it. It is not released afterwards.
    async fn seize(&mut self) -> Result<(), Error> {
        loop {
            match self.lock.seize().await {
                Ok(LockResult::Conflict) => {}
                Ok(LockResult::Acquired | LockResult::Held { .. }) => return Ok(()),
                Err(error) => return Err(Error::Lease(self.name.clone(), error)),
            }
        }
    }
}

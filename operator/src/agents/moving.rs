//! The move of an Agent between a WorkerPool and workers of its own, as a reconciliation sees it: which tasks are told,
//! how long the earlier workers stay, and what people are told. The tasks are told by [`crate::moves::mover`].

use std::collections::BTreeSet;

use steadfast_crds::{Agent, agent_reference_grant::ReferentKind, worker::AutoscalingSettings};

use crate::{
    agents::{
        apply::deployment_of,
        context::Context,
        events, garbage_collection,
        grants::Referent,
        homes::{AgentHome, homes},
        identity::AgentIdentity,
        reference_index::Reference,
        replicas::replicas_of,
    },
    kube::{namespaced_name::NamespacedName, owner::OwnerKind},
    moves::state::{Move, Progress},
    tasks::TaskSet,
};

/// How long the earlier workers have had nothing to do before they go: the turn of an Agent that handed off to this one
/// may be between two calls.
const IDLE: steadfast_crds::Duration = steadfast_crds::Duration::from_seconds(60);

/// Moves the tasks of an Agent that has left other workers, and lets these go when no task is left. Call it when the
/// workers that the Agent has now can serve.
pub(crate) async fn keep(context: &Context, agent: &AgentIdentity) {
    let homes = homes(context, agent);
    let Some((present, former)) = homes.split_first().filter(|(_, former)| !former.is_empty()) else {
        if context.moves.forget(&agent.key) {
            events::publish_moved(context, agent).await;
        }
        return;
    };
    match context.moves.want(wanted(context, agent, present, former)) {
        None => events::publish_moving(context, agent, present.pool.as_deref()).await,
        Some(Progress::Moved) => {
            for home in former {
                if is_idle(context, agent, home) {
                    garbage_collection::delete_home(context, agent, home.pool.as_ref()).await;
                }
            }
        }
        Some(Progress::Left(left)) if left.counted > 0 => wake(context, agent, former),
        Some(_) => {}
    }
}

/// How the workers of its own are scaled while the Agent is on a WorkerPool; `None` if it has none. One of them stays
/// until no task is left, and the last goes when it has nothing to do.
pub(super) fn autoscaling(context: &Context, agent: &AgentIdentity) -> Option<AutoscalingSettings> {
    let deployment = deployment_of(context, &agent.as_owner())?;
    let has_moved = context.moves.progress(&agent.key) == Some(Progress::Moved);
    Some(AutoscalingSettings {
        min_replicas: i32::from(!has_moved),
        // There are never more of them.
        max_replicas: replicas_of(&deployment).unwrap_or(1).max(1),
        target_queue_size: 1,
        cooldown_period: IDLE,
    })
}

/// Whether nothing needs the workers of a home on behalf of the Agent.
fn is_idle(context: &Context, agent: &AgentIdentity, home: &AgentHome) -> bool {
    if home.pool.is_some() {
        return true;
    }
    let deployment = deployment_of(context, &agent.as_owner());
    deployment.is_none_or(|deployment| replicas_of(&deployment) == Some(0))
}

/// Tasks of workers that sleep cannot move. Its own are kept by [`autoscaling`].
fn wake(context: &Context, agent: &AgentIdentity, former: &[AgentHome]) {
    for pool in former.iter().filter_map(|home| home.pool.as_ref()) {
        let pool = NamespacedName::new(&agent.key.namespace, pool);
        context.scaling.wake(&(OwnerKind::Pool, pool));
    }
}

fn wanted(context: &Context, agent: &AgentIdentity, present: &AgentHome, former: &[AgentHome]) -> Move {
    let install = &context.settings.install_id;
    let referring = referring(context, &agent.key);
    Move {
        agent: agent.key.clone(),
        uid: agent.uid.clone().unwrap_or_default(),
        after: former.iter().map(|home| home.newest).max().unwrap_or_default(),
        to: present.tasks(install, &agent.key).task_queue,
        own: former.iter().map(|home| home.tasks(install, &agent.key)).collect(),
        referring: referring
            .iter()
            .flat_map(|referring| tasks_of(context, referring))
            .collect(),
    }
}

/// The Agents whose tasks may have been handed off to this one: those that refer to it, and those that refer to them.
fn referring(context: &Context, agent: &NamespacedName) -> BTreeSet<NamespacedName> {
    let mut found = BTreeSet::new();
    let mut open = vec![agent.clone()];
    while let Some(named) = open.pop() {
        let referent = Referent {
            kind: ReferentKind::Agent,
            key: named.clone(),
        };
        let elsewhere = context.cross_namespace.dependents(&referent);
        let here = context.index.dependents(&named.namespace, Reference::Agent(named.name));
        let all = here.into_iter().chain(elsewhere);
        open.extend(all.filter(|referring| referring != agent && found.insert(referring.clone())));
    }
    found
}

/// The tasks of another Agent, wherever they run.
fn tasks_of(context: &Context, agent: &NamespacedName) -> Vec<TaskSet> {
    let Some(found) = context.cross_namespace.agent(agent) else {
        return Vec::new();
    };
    let Ok(found) = &found.0 else { return Vec::new() };
    let install = &context.settings.install_id;
    let tasks_on = |task_queue| TaskSet::new(install, agent.clone(), task_queue);
    queues_of(found, install).into_iter().map(tasks_on).collect()
}

fn queues_of(agent: &Agent, install: &str) -> Vec<String> {
    let status = agent.status.clone().unwrap_or_default();
    let home = || AgentIdentity::of(agent).home_task_queue(install);
    let present = status.task_queue.unwrap_or_else(home);
    std::iter::once(present).chain(status.former_task_queues).collect()
}

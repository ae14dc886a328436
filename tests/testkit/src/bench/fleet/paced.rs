//! Agents and equal Deployments at the same pace: what the operator adds to the time until pods are available.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use serde::Serialize;
use steadfast_crds::Agent;

use super::{
    arena::{Arena, create},
    manifests::{Member, equal_deployment},
};
use crate::bench::{
    arrivals::{Arrivals, has_condition, is_available, state},
    statistics::{float, milliseconds, percentile, rounded},
    turn::Latency,
};

const LIMIT: Duration = Duration::from_mins(10);
const REQUESTS_AT_ONCE: usize = 16;
/// How much of what the bare control plane sustains is asked of it.
const SHARES: [f64; 2] = [0.5, 1.0];

/// The comparison.
#[derive(Clone, Debug, Serialize)]
pub struct PacedReport {
    /// Deployments that become available per second when all are created at once, without Agents.
    pub sustained_per_second: f64,
    pub objects: usize,
    pub rates: Vec<Rate>,
}

/// Both at one rate.
#[derive(Clone, Debug, Serialize)]
pub struct Rate {
    /// Of `sustained_per_second`.
    pub share: f64,
    pub per_second: f64,
    /// From the request that creates a Deployment until it is available.
    pub deployments: Latency,
    /// From the request that creates an Agent until it is Ready. Its Secret and its AgentTools are created just before.
    pub agents: Latency,
    pub ratio_p50: f64,
    pub ratio_p99: f64,
}

pub(super) async fn compare(arena: &Arena, objects: usize) -> anyhow::Result<PacedReport> {
    let sample = sample(arena).await?;
    let sustained = sustained(arena, &sample, objects).await?;
    let mut rates = Vec::new();
    for share in SHARES {
        let pace = Duration::from_secs_f64(1.0 / (sustained * share));
        let deployments = deployments(arena, &sample, objects, pace).await?;
        let agents = agents(arena, objects, pace).await?;
        let ratio = |percent| {
            let of = |times: &[f64]| percentile(times.to_vec(), percent).unwrap_or_default();
            rounded(of(&agents) / of(&deployments))
        };
        rates.push(Rate {
            share,
            per_second: rounded(sustained * share),
            ratio_p50: ratio(50),
            ratio_p99: ratio(99),
            deployments: latency(&deployments),
            agents: latency(&agents),
        });
    }
    Ok(PacedReport {
        sustained_per_second: rounded(sustained),
        objects,
        rates,
    })
}

fn latency(times: &[f64]) -> Latency {
    Latency::of(
        times
            .iter()
            .map(|milliseconds| Duration::from_secs_f64(milliseconds / 1000.0)),
    )
}

/// The Deployment of an Agent.
async fn sample(arena: &Arena) -> anyhow::Result<Deployment> {
    let member = Member {
        namespace: "sample".to_owned(),
        name: "sample".to_owned(),
    };
    arena.create_namespace(&member.namespace).await?;
    let mut ready = Arrivals::watch(
        arena.within::<Agent>(&member.namespace),
        vec![state(|agent| has_condition(agent, "Ready"))],
    );
    arena.create_references(&member).await?;
    arena.create_agent(&member).await?;
    ready.until(0, 1, LIMIT).await.context("wait for the first Agent")?;
    let deployments = kube::Api::namespaced(arena.client(), &member.namespace);
    let sample = deployments
        .get("agent-sample")
        .await
        .context("get the Deployment of an Agent")?;
    arena.delete_namespace(&member.namespace).await?;
    Ok(sample)
}

/// Deployments per second, created as fast as the API server takes them.
async fn sustained(arena: &Arena, sample: &Deployment, objects: usize) -> anyhow::Result<f64> {
    let namespace = "bare-burst";
    arena.create_namespace(namespace).await?;
    let api = arena.within::<Deployment>(namespace);
    let mut available = Arrivals::watch(api.clone(), vec![state(is_available)]);
    let began = Instant::now();
    stream::iter(0..objects)
        .map(|number| create_deployment(&api, sample, number))
        .buffer_unordered(REQUESTS_AT_ONCE)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    available.until(0, objects, LIMIT).await?;
    let seconds = began.elapsed().as_secs_f64();
    arena.delete_namespace(namespace).await?;
    Ok(float(objects) / seconds)
}

async fn create_deployment(
    api: &kube::Api<kube::api::DynamicObject>,
    sample: &Deployment,
    number: usize,
) -> anyhow::Result<(String, Instant)> {
    let name = format!("bare-{number}");
    let sent = Instant::now();
    create(api, equal_deployment(sample, &name)?).await?;
    Ok((name, sent))
}

/// Milliseconds of each Deployment.
async fn deployments(arena: &Arena, sample: &Deployment, objects: usize, pace: Duration) -> anyhow::Result<Vec<f64>> {
    let namespace = "bare-paced";
    arena.create_namespace(namespace).await?;
    let api = arena.within::<Deployment>(namespace);
    let mut available = Arrivals::watch(api.clone(), vec![state(is_available)]);
    let sent = at_pace(objects, pace, async |number| {
        let (name, sent) = create_deployment(&api, sample, number).await?;
        Ok((format!("{namespace}/{name}"), sent))
    })
    .await?;
    let reached = available.until(0, objects, LIMIT).await?;
    arena.delete_namespace(namespace).await?;
    Ok(times(&sent, &reached))
}

/// Milliseconds of each Agent.
async fn agents(arena: &Arena, objects: usize, pace: Duration) -> anyhow::Result<Vec<f64>> {
    let namespace = "agents-paced";
    arena.create_namespace(namespace).await?;
    let mut ready = Arrivals::watch(
        arena.within::<Agent>(namespace),
        vec![state(|agent| has_condition(agent, "Ready"))],
    );
    let sent = at_pace(objects, pace, async |number| {
        let member = Member {
            namespace: namespace.to_owned(),
            name: format!("agent-{number}"),
        };
        arena.create_references(&member).await?;
        let sent = arena.create_agent(&member).await?;
        Ok((member.key(), sent))
    })
    .await?;
    let reached = ready.until(0, objects, LIMIT).await?;
    arena.delete_namespace(namespace).await?;
    Ok(times(&sent, &reached))
}

/// Creates one object per `pace`, whether the ones before have been answered or not, and returns when each was sent.
async fn at_pace(
    objects: usize,
    pace: Duration,
    create: impl AsyncFn(usize) -> anyhow::Result<(String, Instant)>,
) -> anyhow::Result<BTreeMap<String, Instant>> {
    let numbers = stream::unfold((0, tokio::time::interval(pace)), |(number, mut ticks)| async move {
        ticks.tick().await;
        Some((number, (number + 1, ticks)))
    });
    numbers
        .take(objects)
        .map(|number| create(number))
        .buffer_unordered(objects.max(1))
        .try_collect()
        .await
}

fn times(sent: &BTreeMap<String, Instant>, reached: &BTreeMap<String, Instant>) -> Vec<f64> {
    let pairs = sent.iter().filter_map(|(key, sent)| Some((sent, reached.get(key)?)));
    pairs
        .map(|(sent, reached)| milliseconds(reached.saturating_duration_since(*sent)))
        .collect()
}

//! `/fleet`: what the agents did in the last hours, as far as this replica counts it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use axum::{Extension, Json, extract::State};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{agents::visible, extractors::Params};
use crate::{
    access::Caller,
    agents::AgentEntry,
    app::Gateway,
    error::{ApiError, ErrorBody},
    fleet::{Figures, INTERVAL, INTERVALS, Series, TaskCounts, begin_of},
};

const DEFAULT_MINUTES: u32 = 60;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Selection {
    /// The intervals are those of this agent, by its name for clients.
    agent_name: Option<String>,
    /// The intervals are those of the agents of this namespace of Kubernetes.
    namespace: Option<String>,
    /// How far the figures go back: from 5 to 720; 60 by default.
    minutes: Option<u32>,
}

/// What the agents that the caller may see did, as far as this replica counts it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Fleet)]
pub(super) struct FleetView {
    /// Since when this replica counts: its start. Each replica counts the turns of the messages that were sent through it.
    counting_since: Timestamp,
    /// Messages that were sent through this replica and whose turns it could not count.
    uncounted_messages: u64,
    now: Timestamp,
    /// Where the figures begin.
    from: Timestamp,
    interval_seconds: i64,
    /// Every agent that the caller may see, and its figures.
    agents: Vec<AgentFigures>,
    /// The figures of the same agents, by namespace.
    namespaces: Vec<NamespaceFigures>,
    /// The intervals of the selected agents, the oldest first. Where nothing happened there is none.
    intervals: Vec<IntervalFigures>,
}

#[derive(Debug, Serialize, ToSchema)]
struct AgentFigures {
    /// Its name for clients.
    agent_name: String,
    namespace: String,
    /// Tasks whose turns run now: of the messages that were sent through this replica at once, of others after a minute.
    /// Absent where Temporal has not answered yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_running: Option<u32>,
    /// Tasks whose turns wait for people now.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_waiting: Option<u32>,
    #[serde(flatten)]
    figures: FleetFigures,
}

#[derive(Debug, Serialize, ToSchema)]
struct NamespaceFigures {
    namespace: String,
    #[serde(flatten)]
    figures: FleetFigures,
}

#[derive(Debug, Serialize, ToSchema)]
struct IntervalFigures {
    start: Timestamp,
    #[serde(flatten)]
    figures: FleetFigures,
}

/// What happened in a time.
#[derive(Debug, Default, Serialize, ToSchema)]
struct FleetFigures {
    /// Turns by how they ended.
    completed: u32,
    failed: u32,
    interrupted: u32,
    canceled: u32,
    /// The failed turns by category.
    failures: BTreeMap<String, u32>,
    /// Of model calls that have ended.
    model_calls: u32,
    input_tokens: u64,
    /// Part of `input_tokens`.
    cached_input_tokens: u64,
    output_tokens: u64,
    /// From the beginning of a turn to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_seconds: Option<Percentiles>,
    /// From the beginning of an attempt of a model call to its first text.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_seconds: Option<Percentiles>,
    /// Approvals that wait: the most at a time in an interval, and the latest count of a longer time. Absent where none
    /// has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    approvals_waiting: Option<u32>,
}

/// Seconds, exact to a fifth.
#[derive(Debug, Serialize, ToSchema)]
struct Percentiles {
    p50: f64,
    p95: f64,
}

/// What the agents did in the last minutes or hours: of those that the caller may see, and as far as the replica that
/// answers counts it.
#[utoipa::path(
    get,
    path = "/fleet",
    operation_id = "get_fleet",
    tag = "agents",
    params(Selection),
    responses(
        (status = OK, description = "The figures.", body = FleetView),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(selection): Params<Selection>,
) -> Result<Json<FleetView>, ApiError> {
    let minutes = i64::from(selection.minutes.unwrap_or(DEFAULT_MINUTES));
    if !(INTERVAL.as_mins()..=longest_minutes()).contains(&minutes) {
        return Err(ApiError::bad_request(format!(
            "minutes must be from {} to {}",
            INTERVAL.as_mins(),
            longest_minutes()
        )));
    }
    let agents = visible(&gateway, &caller).await?;
    let now = Timestamp::now();
    // The interval that runs is one of them.
    let from = begin_of(now - SignedDuration::from_mins(minutes - INTERVAL.as_mins()));
    let tasks = gateway.fleet.task_counts();
    let tasks_of = |agent: &AgentEntry| {
        let tasks = tasks.as_ref()?;
        Some(tasks.get(&agent.name).copied().unwrap_or_default())
    };
    let series = gateway.fleet.series();
    let totals: Vec<Option<Figures>> = agents.iter().map(|agent| series.total(&agent.name, from)).collect();
    Ok(Json(FleetView {
        counting_since: gateway.fleet.since(),
        uncounted_messages: gateway.fleet.uncounted(),
        now,
        from,
        interval_seconds: INTERVAL.as_secs(),
        namespaces: of_namespaces(&agents, &totals),
        intervals: intervals(&series, &agents, &selection, from),
        agents: agents
            .iter()
            .zip(&totals)
            .map(|(agent, total)| of_agent(agent, tasks_of(agent), total.as_ref()))
            .collect(),
    }))
}

fn longest_minutes() -> i64 {
    INTERVAL
        .as_mins()
        .saturating_mul(i64::try_from(INTERVALS).unwrap_or(i64::MAX))
}

fn of_agent(agent: &AgentEntry, tasks: Option<TaskCounts>, total: Option<&Figures>) -> AgentFigures {
    AgentFigures {
        agent_name: agent.client_name.clone(),
        namespace: agent.name.namespace.clone(),
        tasks_running: tasks.map(|tasks| tasks.running),
        tasks_waiting: tasks.map(|tasks| tasks.waiting),
        figures: total.map(FleetFigures::of).unwrap_or_default(),
    }
}

fn of_namespaces(agents: &[Arc<AgentEntry>], totals: &[Option<Figures>]) -> Vec<NamespaceFigures> {
    let mut namespaces: BTreeMap<&str, Figures> = BTreeMap::new();
    for (agent, total) in agents.iter().zip(totals) {
        let namespace = namespaces.entry(&agent.name.namespace).or_default();
        if let Some(figures) = total {
            namespace.add_agent(figures);
        }
    }
    let of_namespace = |(namespace, figures): (&str, Figures)| NamespaceFigures {
        namespace: namespace.to_owned(),
        figures: FleetFigures::of(&figures),
    };
    namespaces.into_iter().map(of_namespace).collect()
}

fn intervals(
    series: &Series,
    agents: &[Arc<AgentEntry>],
    selection: &Selection,
    from: Timestamp,
) -> Vec<IntervalFigures> {
    let is_selected = |agent: &&Arc<AgentEntry>| {
        let by_name = selection
            .agent_name
            .as_ref()
            .is_none_or(|name| *name == agent.client_name);
        let by_namespace = selection.namespace.as_ref();
        by_name && by_namespace.is_none_or(|namespace| *namespace == agent.name.namespace)
    };
    let mut sums: BTreeMap<Timestamp, Figures> = BTreeMap::new();
    for agent in agents.iter().filter(is_selected) {
        for (start, figures) in series.intervals(&agent.name, from) {
            match sums.entry(start) {
                Entry::Vacant(vacant) => drop(vacant.insert(figures.clone())),
                Entry::Occupied(mut occupied) => occupied.get_mut().add_agent(figures),
            }
        }
    }
    let of_interval = |(start, figures): (Timestamp, Figures)| IntervalFigures {
        start,
        figures: FleetFigures::of(&figures),
    };
    sums.into_iter().map(of_interval).collect()
}

impl FleetFigures {
    fn of(figures: &Figures) -> Self {
        let usage = figures.usage;
        let percentiles = |percentile: &dyn Fn(f64) -> Option<f64>| {
            Some(Percentiles {
                p50: percentile(0.5)?,
                p95: percentile(0.95)?,
            })
        };
        Self {
            completed: figures.completed,
            failed: figures.failed,
            interrupted: figures.interrupted,
            canceled: figures.canceled,
            failures: figures.failures.clone(),
            model_calls: usage.model_calls,
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            output_tokens: usage.output_tokens,
            turn_seconds: percentiles(&|share| figures.turn_seconds(share)),
            first_token_seconds: percentiles(&|share| figures.first_token_seconds(share)),
            approvals_waiting: figures.approvals_waiting,
        }
    }
}

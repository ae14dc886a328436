//! Faults at random while conversations go on, and what came of it: who completed, what happened twice, what viewers
//! missed, how long nothing moved.

mod conversation;
mod gaps;
mod ledger;
mod operator;
mod plan;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    paced_model::{PacedModel, TOOL, Work},
    statistics::{float, milliseconds, percentile, rounded},
};
use crate::{
    RedisData,
    scripted_model::Reply,
    stack::{Agent, AgentSetup, Component, Stack},
    wait,
};
use conversation::Outcome;
use ledger::Ledger;
use operator::{Edits, OperatedAgent};
use plan::{Plan, PlannedFault};

pub use gaps::Gaps;
pub use plan::Fault;

/// A part that was killed must be back after this time.
const RESTART_LIMIT: Duration = Duration::from_mins(3);
/// A call whose answer was complete so shortly before its worker died may not have reached it.
const IN_FLIGHT: Duration = Duration::from_millis(100);
/// The name of the agent.
const AGENT: &str = "chaos";
/// Problems that the report shows in full.
const SHOWN_PROBLEMS: usize = 20;
const PACE_MS: u32 = 50;

/// The size of the benchmark.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// At least so many conversations.
    pub runs: usize,
    /// At least so many faults of each kind; conversations go on until then.
    pub faults_per_kind: usize,
    /// Conversations at once.
    pub concurrency: usize,
    /// Workers of the agent.
    pub workers: usize,
    /// The mean time from one fault to the next.
    pub mean_pause: Duration,
    /// Deltas of an answer, one every 50 ms.
    pub deltas: u32,
    pub seed: u64,
    /// Whether an operator takes part.
    pub operator: Operator,
    /// The kinds of faults; all where there are none.
    pub only: Vec<Fault>,
}

/// Whether an operator takes part, which needs an API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    /// The workers read the revisions that it makes of an Agent that is edited all the time.
    #[default]
    Present,
    /// The workers read revisions from a directory.
    Absent,
}

impl ChaosOptions {
    /// The kinds of faults that happen.
    fn kinds(&self) -> Vec<Fault> {
        let mut kinds = Fault::ALL.to_vec();
        kinds.retain(|kind| self.only.is_empty() || self.only.contains(kind));
        kinds.retain(|kind| self.operator == Operator::Present || *kind != Fault::KillOperator);
        kinds
    }
}

impl Default for ChaosOptions {
    fn default() -> Self {
        Self {
            runs: 1_000,
            faults_per_kind: 20,
            concurrency: 12,
            workers: 2,
            mean_pause: Duration::from_secs(10),
            deltas: 160,
            seed: 1,
            operator: Operator::default(),
            only: Vec::new(),
        }
    }
}

/// The report of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct ChaosReport {
    pub seed: u64,
    pub seconds: f64,
    pub runs: usize,
    pub completed: usize,
    /// Runs during which a fault happened, in percent.
    pub hit_percent: f64,
    pub faults: BTreeMap<Fault, usize>,
    pub effects: Effects,
    pub model_calls: ModelCalls,
    /// The edits of the Agent; absent without an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edits: Option<EditReport>,
    /// Of all viewers.
    pub viewers: Gaps,
    /// The longest time in which a viewer saw nothing new, in runs that were hit.
    pub stall_milliseconds: Percentiles,
    /// The same in runs that were not hit.
    pub stall_milliseconds_without_fault: Percentiles,
    /// The first problems, in words.
    pub problems: Vec<String>,
}

/// What the ledger counted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Effects {
    /// Calls of the tool that had an effect.
    pub calls: usize,
    /// Requests, repeated ones among them.
    pub deliveries: usize,
    /// Effects beyond one per call.
    pub duplicates: usize,
}

/// What became of the edits of the Agent.
#[derive(Clone, Debug, Serialize)]
pub struct EditReport {
    pub edits: usize,
    /// From an edit to its revision.
    pub milliseconds: Percentiles,
    /// The edit that did not become a revision, in words.
    pub problem: Option<String>,
}

impl EditReport {
    fn of(edits: Edits) -> Self {
        let delays: Vec<f64> = edits.delays.into_iter().map(milliseconds).collect();
        Self {
            edits: delays.len() + usize::from(edits.problem.is_some()),
            milliseconds: Percentiles::of(&delays),
            problem: edits.problem,
        }
    }
}

/// What the model counted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ModelCalls {
    pub requests: usize,
    /// Requests whose like had been answered to the last byte before.
    pub paid_twice: usize,
    /// Those of them whose worker was killed within 100 ms after the last byte was sent: it may never have had it.
    pub paid_twice_in_flight: usize,
}

/// Percentiles; 0 without values.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
}

impl Percentiles {
    fn of(values: &[f64]) -> Self {
        let of = |percent| rounded(percentile(values.to_vec(), percent).unwrap_or_default());
        Self {
            p50: of(50),
            p95: of(95),
        }
    }
}

impl ChaosReport {
    /// The promises that did not hold.
    pub fn broken_promises(&self) -> Vec<String> {
        let finished_twice = self.model_calls.paid_twice - self.model_calls.paid_twice_in_flight;
        let checks = [
            (
                self.completed < self.runs,
                format!("{} of {} runs completed", self.completed, self.runs),
            ),
            (
                self.effects.duplicates > 0,
                format!("{} duplicate effects", self.effects.duplicates),
            ),
            (
                finished_twice > 0,
                format!("{finished_twice} finished model calls were paid twice"),
            ),
            (self.viewers.gaps > 0, format!("{} gaps at viewers", self.viewers.gaps)),
            (
                self.viewers.doubles > 0,
                format!("{} doubles at viewers", self.viewers.doubles),
            ),
            (
                self.edits.as_ref().is_some_and(|edits| edits.problem.is_some()),
                "an edit of the Agent did not become a revision".to_owned(),
            ),
        ];
        checks
            .into_iter()
            .filter_map(|(broken, text)| broken.then_some(text))
            .collect()
    }
}

/// What fails.
struct Parts<'a> {
    stack: &'a Stack,
    agent: &'a Agent,
    operated: Option<&'a OperatedAgent>,
}

/// A fault that has happened.
#[derive(Clone, Copy, Debug)]
struct Happened {
    fault: Fault,
    at: Instant,
    until: Instant,
}

/// Runs the benchmark on an unused stack with a durable Temporal.
pub async fn run(stack: &Stack, options: &ChaosOptions) -> anyhow::Result<ChaosReport> {
    let model = PacedModel::start()?;
    let ledger = Ledger::start()?;
    let base_url = model.base_url();
    let tool = effect_tool(&ledger.url());
    let operated = match options.operator {
        Operator::Present => Some(OperatedAgent::start(stack, AGENT, &base_url, (TOOL, &tool)).await?),
        Operator::Absent => None,
    };
    let mut setup = AgentSetup::new(AGENT, |_| Reply::text("The model of the bench answers instead."))
        .workers(options.workers)
        .named_processes()
        .tool(TOOL, tool)
        .configure(move |spec| spec.model.base_url = base_url);
    if let Some(operated) = &operated {
        setup = setup.in_cluster(operated.kubeconfig());
    }
    let agent = stack.agent(setup).await?;
    let began = Instant::now();
    let (happened, seen) = watch::channel(Vec::new());
    let parts = Parts {
        stack,
        agent: &agent,
        operated: operated.as_ref(),
    };
    let (outcomes, (), edits) = tokio::try_join!(
        async {
            let outcomes = converse(&agent, options, seen).await;
            anyhow::Ok(outcomes)
        },
        inject(&parts, options, &happened),
        async {
            match &operated {
                Some(operated) => operated.edit(&happened).await.map(Some),
                None => Ok(None),
            }
        }
    )?;
    let happened = happened.borrow().clone();
    let mut report = report(options, began, &outcomes, &happened, &model, &ledger);
    report.edits = edits.map(EditReport::of);
    Ok(report)
}

/// The tool: a request to the ledger, with the key that is the same for all attempts of a call.
fn effect_tool(url: &str) -> Value {
    json!({
        "description": "Has an effect.",
        "parameters": {
            "type": "object",
            "properties": {"of": {"type": "string"}, "size": {"type": "integer"}},
            "required": ["of", "size"],
        },
        "http": {"method": "POST", "url": url},
        "idempotency": "Key",
        "retry": {"initialInterval": "200ms"},
    })
}

/// Conversations until there were enough of them, and enough faults. Dropping `seen` ends the faults.
async fn converse(agent: &Agent, options: &ChaosOptions, seen: watch::Receiver<Vec<Happened>>) -> Vec<Outcome> {
    let mut open = FuturesUnordered::new();
    let mut outcomes = Vec::new();
    let mut started = 0;
    let kinds = options.kinds();
    loop {
        let enough =
            started >= options.runs && plan::each_happened(&counts(&seen.borrow()), &kinds, options.faults_per_kind);
        while !enough && open.len() < options.concurrency {
            started += 1;
            let work = Work {
                run: format!("chaos-{}-{started}", options.seed),
                calls: 1,
                result_bytes: 20,
                deltas: options.deltas,
                pace_ms: PACE_MS,
            };
            open.push(async move { conversation::run(agent, &work).await });
        }
        let Some(outcome) = open.next().await else { break };
        if let Some(problem) = &outcome.problem {
            tracing::warn!("{problem}");
        }
        outcomes.push(outcome);
        if outcomes.len() % 50 == 0 {
            tracing::info!(
                "{} runs have ended; faults: {:?}",
                outcomes.len(),
                counts(&seen.borrow())
            );
        }
    }
    outcomes
}

/// Faults until nobody looks at them any more.
async fn inject(
    parts: &Parts<'_>,
    options: &ChaosOptions,
    happened: &watch::Sender<Vec<Happened>>,
) -> anyhow::Result<()> {
    for planned in Plan::new(options.seed, options.mean_pause, &options.kinds()) {
        tokio::select! {
            () = tokio::time::sleep(planned.after) => {}
            () = happened.closed() => break,
        }
        let at = Instant::now();
        cause(parts, planned).await?;
        happened.send_modify(|all| {
            all.push(Happened {
                fault: planned.fault,
                at,
                until: Instant::now(),
            });
        });
    }
    Ok(())
}

/// Causes the fault and waits until the part is back.
async fn cause(parts: &Parts<'_>, planned: PlannedFault) -> anyhow::Result<()> {
    let Parts { stack, agent, operated } = *parts;
    tracing::info!("{:?} for {:?}", planned.fault, planned.lasts);
    let outage = tokio::time::sleep(planned.lasts);
    match planned.fault {
        Fault::KillWorker => {
            let workers = agent.workers();
            let count = u32::try_from(workers.len()).unwrap_or(1);
            let worker = (0..count)
                .rev()
                .find(|index| planned.which * f64::from(count) >= f64::from(*index));
            let worker = &workers[usize::try_from(worker.unwrap_or_default()).unwrap_or_default()];
            worker.kill().await?;
            outage.await;
            come_back(worker).await
        }
        Fault::KillGateway => {
            stack.gateway().kill().await?;
            outage.await;
            come_back(stack.gateway()).await
        }
        Fault::KillRedis => {
            stack.redis().kill().await?;
            outage.await;
            stack.redis().restart(RedisData::Keep).await
        }
        Fault::CutRedis => {
            stack.redis().freeze()?;
            outage.await;
            stack.redis().thaw()
        }
        Fault::KillTemporal => {
            stack.temporal().kill().await?;
            outage.await;
            stack.temporal().restart().await
        }
        Fault::CutTemporal => {
            stack.temporal().freeze()?;
            outage.await;
            stack.temporal().thaw()
        }
        Fault::KillOperator => {
            let Some(operated) = operated else { return Ok(()) };
            operated.operator.kill().await?;
            outage.await;
            come_back(&operated.operator).await
        }
    }
}

async fn come_back(component: &Component) -> anyhow::Result<()> {
    let what = format!("{} to be back", component.service().name());
    wait::until(what, RESTART_LIMIT, async || component.launch().await).await
}

fn counts(happened: &[Happened]) -> BTreeMap<Fault, usize> {
    let mut counts = BTreeMap::new();
    for one in happened {
        *counts.entry(one.fault).or_default() += 1;
    }
    counts
}

fn report(
    options: &ChaosOptions,
    began: Instant,
    outcomes: &[Outcome],
    happened: &[Happened],
    model: &PacedModel,
    ledger: &Ledger,
) -> ChaosReport {
    let is_hit = |outcome: &&Outcome| {
        let mut faults = happened.iter();
        faults.any(|fault| fault.at <= outcome.ended && outcome.began <= fault.until)
    };
    let (hit, spared): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(is_hit);
    let stalls = |of: &[&Outcome]| {
        let stalls: Vec<f64> = of.iter().map(|outcome| milliseconds(outcome.stall)).collect();
        Percentiles::of(&stalls)
    };
    let kills = happened.iter().filter(|one| one.fault == Fault::KillWorker);
    let kills: Vec<Instant> = kills.map(|one| one.at).collect();
    let repeated = model.repeated();
    let in_flight = repeated.iter().filter(|repeated| {
        let mut kills = kills.iter();
        kills.any(|at| *at >= repeated.completed_at && at.duration_since(repeated.completed_at) < IN_FLIGHT)
    });
    let problems = outcomes.iter().filter_map(|outcome| outcome.problem.clone());
    let entries = ledger.entries();
    ChaosReport {
        seed: options.seed,
        seconds: rounded(began.elapsed().as_secs_f64()),
        runs: outcomes.len(),
        completed: outcomes.iter().filter(|outcome| outcome.problem.is_none()).count(),
        hit_percent: rounded(100.0 * float(hit.len()) / float(outcomes.len().max(1))),
        faults: counts(happened),
        effects: Effects {
            calls: entries.calls(),
            deliveries: entries.deliveries,
            duplicates: entries.duplicates(),
        },
        model_calls: ModelCalls {
            requests: model.requests(),
            paid_twice: repeated.len(),
            paid_twice_in_flight: in_flight.count(),
        },
        edits: None,
        viewers: Gaps {
            gaps: outcomes.iter().map(|outcome| outcome.gaps.gaps).sum(),
            doubles: outcomes.iter().map(|outcome| outcome.gaps.doubles).sum(),
        },
        stall_milliseconds: stalls(&hit),
        stall_milliseconds_without_fault: stalls(&spared),
        problems: problems.take(SHOWN_PROBLEMS).collect(),
    }
}

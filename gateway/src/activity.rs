//! What all tasks do now, for the pages of the agents and of the fleet, counted now and then from Temporal's visibility:
//! approvals and tasks that wait for people, and tasks whose turns run.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use steadfast_contract::{
    start::WORKFLOW_TYPE,
    visibility::{SEARCH_PENDING_APPROVALS, SEARCH_PHASE, VisiblePhase},
};
use tokio::time::sleep;

use crate::{
    agents::AgentName,
    app::Gateway,
    approvals::asking_agent,
    fleet::{Activity, Sample},
    task::TaskRecord,
    temporal::TemporalError,
};

/// How often the tasks are counted: two queries, as a person with an open inbox asks 7 times as often.
const PERIOD: Duration = Duration::from_secs(20);
/// Pages of 200 tasks that one query reads. Of more tasks, the newest are counted.
const MAX_PAGES: usize = 10;

/// What a count found.
#[derive(Default)]
struct Counts {
    approvals: BTreeMap<AgentName, u32>,
    /// The tasks that run or wait, by id.
    tasks: HashMap<String, (AgentName, Activity)>,
}

/// Counts the tasks until the gateway stops.
pub async fn count_tasks(gateway: Arc<Gateway>) {
    let stopping = gateway.stopping.clone();
    let counting = async {
        // Agents whose approvals were counted before: those that have none left are counted once more.
        let mut before: BTreeMap<AgentName, u32> = BTreeMap::new();
        loop {
            match count(&gateway).await {
                Ok(Counts { approvals, tasks }) => {
                    record(&gateway, &before, &approvals);
                    gateway.fleet.set_tasks(tasks);
                    before = approvals;
                }
                // Temporal is away, or has no such search attribute: nothing is known, and nothing is shown.
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the tasks that run or wait cannot be counted now"
                ),
            }
            sleep(PERIOD).await;
        }
    };
    stopping.run_until_cancelled(counting).await;
}

fn record(gateway: &Gateway, before: &BTreeMap<AgentName, u32>, counts: &BTreeMap<AgentName, u32>) {
    let now = Timestamp::now();
    let mut series = gateway.fleet.series();
    for (agent, count) in counts {
        series.record(agent, now, Sample::ApprovalsWaiting(*count));
    }
    for agent in before.keys().filter(|agent| !counts.contains_key(*agent)) {
        series.record(agent, now, Sample::ApprovalsWaiting(0));
    }
}

async fn count(gateway: &Gateway) -> Result<Counts, TemporalError> {
    let mut counts = Counts::default();
    let running = format!("{SEARCH_PHASE} = '{}'", VisiblePhase::Running.as_str());
    for task in open_tasks(gateway, &running).await? {
        counts.tasks.insert(task.id, (task.agent, Activity::Runs));
    }
    let now = Timestamp::now();
    for task in open_tasks(gateway, &format!("{SEARCH_PENDING_APPROVALS} > 0")).await? {
        let waiting = task.approvals.iter().filter(|approval| !approval.is_expired_at(now));
        let asking: Vec<AgentName> = waiting.map(|approval| asking_agent(&task, approval)).collect();
        if !asking.is_empty() {
            counts.tasks.insert(task.id, (task.agent, Activity::WaitsForPeople));
        }
        for agent in asking {
            *counts.approvals.entry(agent).or_default() += 1;
        }
    }
    Ok(counts)
}

/// The tasks of this installation that have not ended and meet a condition.
async fn open_tasks(gateway: &Gateway, condition: &str) -> Result<Vec<TaskRecord>, TemporalError> {
    let query = format!("WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running' AND {condition}");
    let mut found = Vec::new();
    let mut token = Vec::new();
    for _ in 0..MAX_PAGES {
        let (page, next) = gateway.temporal.list(&query, token).await?;
        let tasks = page.into_iter().filter_map(TaskRecord::of_info);
        found.extend(tasks.filter(|task| gateway.owns(task)));
        if next.is_empty() {
            break;
        }
        token = next;
    }
    Ok(found)
}

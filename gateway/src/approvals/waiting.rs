//! How many approvals wait, counted now and then from Temporal's visibility.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use steadfast_contract::{start::WORKFLOW_TYPE, visibility::SEARCH_PENDING_APPROVALS};
use tokio::time::sleep;

use super::asking_agent;
use crate::{agents::AgentName, app::Gateway, fleet::Sample, task::TaskRecord, temporal::TemporalError};

/// How often the approvals are counted: one query, as a person with an open inbox asks 7 times as often.
const PERIOD: Duration = Duration::from_secs(20);
/// Pages of 200 tasks that one count reads. Of more tasks, the newest are counted.
const MAX_PAGES: usize = 10;

/// Counts the approvals until the gateway stops.
pub async fn count_approvals(gateway: Arc<Gateway>) {
    let stopping = gateway.stopping.clone();
    let counting = async {
        // Agents whose approvals were counted before: those that have none left are counted once more.
        let mut before: BTreeMap<AgentName, u32> = BTreeMap::new();
        loop {
            match count(&gateway).await {
                Ok(counts) => {
                    record(&gateway, &before, &counts);
                    before = counts;
                }
                // Temporal is away, or has no such search attribute: nothing is known, and nothing is shown.
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the approvals that wait cannot be counted now"
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

async fn count(gateway: &Gateway) -> Result<BTreeMap<AgentName, u32>, TemporalError> {
    let query =
        format!("WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running' AND {SEARCH_PENDING_APPROVALS} > 0");
    let mut counts: BTreeMap<AgentName, u32> = BTreeMap::new();
    let mut token = Vec::new();
    for _ in 0..MAX_PAGES {
        let (page, next) = gateway.temporal.list(&query, token).await?;
        let now = Timestamp::now();
        let tasks = page.into_iter().filter_map(TaskRecord::of_info);
        for task in tasks.filter(|task| gateway.owns(task)) {
            for approval in task.approvals.iter().filter(|approval| !approval.is_expired_at(now)) {
                *counts.entry(asking_agent(&task, approval)).or_default() += 1;
            }
        }
        if next.is_empty() {
            break;
        }
        token = next;
    }
    Ok(counts)
}

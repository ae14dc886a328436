//! The histories of all runs of a task, which continue each other as new.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::Value;
use steadfast_contract::activity_kind::ActivityKind;

use crate::stack::{Stack, Task};

/// The size of all histories.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RunChain {
    pub(super) runs: usize,
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// Adds up the histories of all runs of a task.
pub(super) async fn totals(stack: &Stack, task: &Task) -> anyhow::Result<RunChain> {
    let mut chain = RunChain::default();
    let mut run_id: Option<String> = None;
    loop {
        let mut arguments = vec!["workflow", "describe", "--output", "json", "--workflow-id", task.id()];
        if let Some(run_id) = &run_id {
            arguments.extend(["--run-id", run_id]);
        }
        let described: Value =
            serde_json::from_str(&stack.temporal().cli(&arguments).await?).context("read the description of a run")?;
        let info = &described["workflowExecutionInfo"];
        chain.runs += 1;
        chain.events += number(&info["historyLength"])?;
        chain.bytes += number(&info["historySizeBytes"])?;
        let this = info["execution"]["runId"].as_str().context("find the id of a run")?;
        run_id = previous_run(&stack.temporal().history(task.id(), Some(this)).await?);
        if run_id.is_none() {
            return Ok(chain);
        }
    }
}

/// The number of events by type in the newest run. Activities are counted by activity type.
pub(super) async fn events_by_type(stack: &Stack, task: &Task) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for event in stack.temporal().history(task.id(), None).await? {
        let kind = event["eventType"].as_str().unwrap_or_default();
        let activity = event["activityTaskScheduledEventAttributes"]["activityType"]["name"].as_str();
        let name = activity.map_or_else(|| kind.to_owned(), |activity| format!("{kind} {activity}"));
        *counts.entry(name).or_insert(0) += 1;
    }
    Ok(counts)
}

/// The bytes of history from each model call to the next in the same run.
pub(super) async fn bytes_per_call(stack: &Stack, task: &Task) -> anyhow::Result<Vec<usize>> {
    let mut runs = Vec::new();
    let mut run_id: Option<String> = None;
    loop {
        let events = stack.temporal().history(task.id(), run_id.as_deref()).await?;
        let mut size_bytes = 0;
        let mut at_calls = Vec::new();
        for event in &events {
            let started = &event["workflowTaskStartedEventAttributes"]["historySizeBytes"];
            if !started.is_null() {
                size_bytes = number(started)?;
            }
            if event["activityTaskScheduledEventAttributes"]["activityType"]["name"]
                == ActivityKind::InvokeModel.type_name()
            {
                at_calls.push(size_bytes);
            }
        }
        runs.push(
            at_calls
                .windows(2)
                .map(|pair| pair[1] - pair[0])
                .collect::<Vec<usize>>(),
        );
        run_id = previous_run(&events);
        if run_id.is_none() {
            runs.reverse();
            return Ok(runs.concat());
        }
    }
}

/// The run that the run with this history continues, if there is one.
fn previous_run(history: &[Value]) -> Option<String> {
    let started = &history.first()?["workflowExecutionStartedEventAttributes"];
    let previous = started["continuedExecutionRunId"].as_str().filter(|id| !id.is_empty());
    previous.map(str::to_owned)
}

/// 64-bit numbers are strings in this JSON.
fn number(value: &Value) -> anyhow::Result<usize> {
    match value {
        Value::String(text) => text.parse().context("read a number"),
        Value::Number(number) => number
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .context("read a number"),
        other => bail!("{other} is not a number"),
    }
}

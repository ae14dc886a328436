//! The requests about schedules, on Temporal's raw service. The connection is
//! `steadfast-temporal`'s.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use steadfast_crds::agent::OverlapPolicy;
use steadfast_temporal::{TemporalClient, TemporalError, TemporalSettings};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::{
    common::v1::{Memo, Payload, Payloads, WorkflowType},
    enums::v1::ScheduleOverlapPolicy,
    schedule::v1::{Schedule, ScheduleAction, SchedulePolicies, ScheduleSpec, ScheduleState, schedule_action::Action},
    taskqueue::v1::TaskQueue,
    workflow::v1::NewWorkflowExecutionInfo,
    workflowservice::v1::{CreateScheduleRequest, DeleteScheduleRequest, ListSchedulesRequest, UpdateScheduleRequest},
};

use crate::{
    MANAGER,
    schedules::desired::{self, DesiredSchedule, RunInput},
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const PAGE_SIZE: i32 = 200;
/// Temporal takes no shorter one.
const SHORTEST_CATCH_UP_SECONDS: u64 = 10;
/// Notes begin with it; the digest follows.
const NOTES_START: &str = "steadfast ";
/// Memo fields by which a gateway knows a task.
const MEMO_AGENT: &str = "steadfast_agent";
const MEMO_NAME: &str = "steadfast_name";

/// A request about a schedule failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Temporal did not do it.
    #[error(transparent)]
    Temporal(#[from] TemporalError),
    /// The schedule cannot be written as JSON.
    #[error("encode a schedule")]
    Encode(#[from] serde_json::Error),
}

/// Asks Temporal about schedules.
pub struct ScheduleClient {
    client: TemporalClient,
}

impl ScheduleClient {
    /// Does not connect yet.
    #[must_use]
    pub fn new(settings: TemporalSettings) -> Self {
        Self {
            client: TemporalClient::new(settings, MANAGER, REQUEST_TIMEOUT),
        }
    }

    /// The digest of each schedule that an operator of this install made, by id.
    pub async fn list(&self, install: &str) -> Result<BTreeMap<String, String>, Error> {
        let mut found = BTreeMap::new();
        let mut next_page_token = Vec::new();
        loop {
            let request = ListSchedulesRequest {
                namespace: self.client.namespace().to_owned(),
                maximum_page_size: PAGE_SIZE,
                next_page_token,
                ..Default::default()
            };
            let page = self
                .client
                .request(request, <dyn WorkflowService>::list_schedules)
                .await?;
            for entry in page.schedules {
                let notes = entry.info.map(|info| info.notes).unwrap_or_default();
                // One that a person made under a name like ours is left alone.
                if let Some(digest) = notes.strip_prefix(NOTES_START)
                    && desired::agent_of(install, &entry.schedule_id).is_some()
                {
                    found.insert(entry.schedule_id, digest.to_owned());
                }
            }
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Makes a schedule; one of that id that is there already is brought in line instead.
    pub async fn create(&self, id: &str, schedule: &DesiredSchedule) -> Result<(), Error> {
        let request = CreateScheduleRequest {
            namespace: self.client.namespace().to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(build(schedule)?),
            identity: self.client.identity().to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        match self
            .client
            .request(request, <dyn WorkflowService>::create_schedule)
            .await
        {
            Err(TemporalError::AlreadyExists(_)) => self.update(id, schedule).await,
            other => Ok(other.map(drop)?),
        }
    }

    /// Changes a schedule.
    pub async fn update(&self, id: &str, schedule: &DesiredSchedule) -> Result<(), Error> {
        let request = UpdateScheduleRequest {
            namespace: self.client.namespace().to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(build(schedule)?),
            identity: self.client.identity().to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        self.client
            .request(request, <dyn WorkflowService>::update_schedule)
            .await?;
        Ok(())
    }

    /// Removes a schedule, if there is one. Tasks it has started go on.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let request = DeleteScheduleRequest {
            namespace: self.client.namespace().to_owned(),
            schedule_id: id.to_owned(),
            identity: self.client.identity().to_owned(),
        };
        match self
            .client
            .request(request, <dyn WorkflowService>::delete_schedule)
            .await
        {
            Err(TemporalError::NotFound) => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }
}

fn build(desired: &DesiredSchedule) -> Result<Schedule, Error> {
    let memo = [
        (MEMO_AGENT.to_owned(), plain_json(&desired.agent)?),
        (MEMO_NAME.to_owned(), plain_json(&desired.name)?),
    ];
    let start = NewWorkflowExecutionInfo {
        workflow_id: desired.workflow_id.clone(),
        workflow_type: Some(WorkflowType {
            name: desired.input.workflow_type().to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: desired.task_queue.clone(),
            ..Default::default()
        }),
        input: Some(Payloads {
            payloads: vec![plain_json(&desired.input)?],
        }),
        memo: Some(Memo {
            fields: memo.into_iter().collect(),
        }),
        ..Default::default()
    };
    let catch_up = Duration::from_secs(desired.catch_up_seconds.max(SHORTEST_CATCH_UP_SECONDS));
    Ok(Schedule {
        spec: Some(ScheduleSpec {
            cron_string: vec![desired.cron.clone()],
            timezone_name: desired.time_zone.clone(),
            ..Default::default()
        }),
        action: Some(ScheduleAction {
            action: Some(Action::StartWorkflow(start)),
        }),
        policies: Some(SchedulePolicies {
            overlap_policy: overlap(desired.overlap, &desired.input).into(),
            catchup_window: catch_up.try_into().ok(),
            ..Default::default()
        }),
        state: Some(ScheduleState {
            notes: format!("{NOTES_START}{}", desired::digest(desired)?),
            paused: desired.paused,
            ..Default::default()
        }),
    })
}

const fn overlap(policy: OverlapPolicy, input: &RunInput) -> ScheduleOverlapPolicy {
    match (policy, input) {
        (OverlapPolicy::Skip, _) => ScheduleOverlapPolicy::Skip,
        (OverlapPolicy::BufferOne, _) => ScheduleOverlapPolicy::BufferOne,
        (OverlapPolicy::AllowAll, RunInput::Task(_)) => ScheduleOverlapPolicy::AllowAll,
        // Side by side they would come in any order, and Temporal would not tell them what the one before came to.
        (OverlapPolicy::AllowAll, RunInput::Delivery(_)) => ScheduleOverlapPolicy::BufferAll,
        (OverlapPolicy::CancelOther, _) => ScheduleOverlapPolicy::CancelOther,
    }
}

fn plain_json<T: Serialize>(value: &T) -> Result<Payload, serde_json::Error> {
    Ok(Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: serde_json::to_vec(value)?,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use serde_json::{Value, json};
    use steadfast_crds::Agent;

    use super::*;

    #[test]
    fn a_schedule_says_when_what_and_on_which_queue() {
        let agent: Agent = serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "a", "namespace": "team" },
            "spec": {
                "instructions": "Answer.", "model": { "name": "m" },
                "schedules": [{
                    "name": "daily", "cron": "0 7 * * *", "timeZone": "Europe/Madrid", "message": "Go.",
                    "overlap": "CancelOther", "catchUp": "1s", "suspend": true,
                }],
            },
        }))
        .unwrap();
        let wanted = desired::of_agent(&agent, "demo");
        let schedule = build(wanted.first_key_value().unwrap().1).unwrap();
        let spec = schedule.spec.unwrap();
        assert_eq!(
            (spec.cron_string, spec.timezone_name),
            (vec!["0 7 * * *".to_owned()], "Europe/Madrid".to_owned())
        );
        let policies = schedule.policies.unwrap();
        assert_eq!(policies.overlap_policy(), ScheduleOverlapPolicy::CancelOther);
        assert_eq!(policies.catchup_window.unwrap().seconds, 10);
        let state = schedule.state.unwrap();
        assert!(state.paused && state.notes.starts_with(NOTES_START));
        let Some(Action::StartWorkflow(start)) = schedule.action.unwrap().action else {
            panic!("no workflow is started")
        };
        assert_eq!(start.workflow_type.unwrap().name, "AgentTask");
        assert_eq!(start.task_queue.unwrap().name, "demo/team/agent/a");
        let input: Value = serde_json::from_slice(&start.input.unwrap().payloads[0].data).unwrap();
        assert_eq!(input["messages"][0]["content"]["text"], "Go.");
        assert_eq!(start.memo.unwrap().fields[MEMO_AGENT].data, b"\"team/a\"");
    }

    #[test]
    fn deliveries_to_a_fixed_task_never_run_side_by_side() {
        let agent: Agent = serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "a", "namespace": "team" },
            "spec": {
                "instructions": "Answer.", "model": { "name": "m" },
                "schedules": [{
                    "name": "daily", "cron": "@daily", "message": "Go.", "task": "Fixed", "overlap": "AllowAll",
                }],
            },
        }))
        .unwrap();
        let wanted = desired::of_agent(&agent, "demo");
        let schedule = build(wanted.first_key_value().unwrap().1).unwrap();
        assert_eq!(
            schedule.policies.unwrap().overlap_policy(),
            ScheduleOverlapPolicy::BufferAll
        );
        let Some(Action::StartWorkflow(start)) = schedule.action.unwrap().action else {
            panic!("no workflow is started")
        };
        assert_eq!(start.workflow_type.unwrap().name, "DeliverMessage");
        assert_eq!(start.task_queue.unwrap().name, "demo/team/agent/a");
    }
}

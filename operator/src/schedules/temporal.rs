//! The requests about schedules, on Temporal's raw service.

use std::{collections::BTreeMap, time::Duration};

use steadfast_contract::visibility::{MEMO_AGENT, MEMO_NAME};
use steadfast_crds::agent::OverlapPolicy;
use steadfast_payload::plain_json;
use steadfast_temporal::{Codec, TemporalClient, TemporalError, TemporalSettings};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::{
    common::v1::{Memo, Payloads, WorkflowType},
    enums::v1::ScheduleOverlapPolicy,
    schedule::v1::{Schedule, ScheduleAction, SchedulePolicies, ScheduleSpec, ScheduleState, schedule_action::Action},
    taskqueue::v1::TaskQueue,
    workflow::v1::NewWorkflowExecutionInfo,
    workflowservice::v1::{
        CreateScheduleRequest, DeleteScheduleRequest, DescribeScheduleRequest, ListSchedulesRequest,
        UpdateScheduleRequest,
    },
};

use crate::{
    MANAGER,
    schedules::{
        desired::{self, DesiredSchedule, ScheduledWorkflow},
        mark::{ClusterId, Mark},
    },
};

/// Time limit of a request, with the connection and all retries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const PAGE_SIZE: i32 = 200;
/// The shortest catch-up window that Temporal accepts.
const SHORTEST_CATCH_UP_SECONDS: u64 = 10;

/// Why a request about schedules failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Temporal did not do it.
    #[error(transparent)]
    Temporal(#[from] TemporalError),
    /// A value cannot be encoded.
    #[error("encode a schedule")]
    Encode(#[from] serde_json::Error),
    /// Somebody else has a schedule of this id.
    #[error("the schedule is not one of this cluster's operator")]
    Foreign,
}

/// Client for the schedules of one Temporal namespace.
pub(crate) struct ScheduleClient {
    temporal: TemporalClient,
    codec: Codec,
    cluster: ClusterId,
}

impl ScheduleClient {
    /// A client that connects at its first request. It marks schedules as those of `cluster`.
    pub(crate) fn new(settings: TemporalSettings, cluster: ClusterId) -> Self {
        Self {
            codec: settings.codec().clone(),
            temporal: TemporalClient::new(settings, MANAGER, REQUEST_TIMEOUT),
            cluster,
        }
    }

    /// The mark that a schedule gets.
    pub(crate) fn mark(&self, schedule: &DesiredSchedule) -> Result<Mark, Error> {
        Ok(Mark {
            cluster: self.cluster.clone(),
            digest: desired::digest(schedule, &self.codec)?,
        })
    }

    /// The mark of each schedule that an operator of this install created, by id.
    pub(crate) async fn list(&self, install: &str) -> Result<BTreeMap<String, Mark>, Error> {
        let mut found = BTreeMap::new();
        let mut next_page_token = Vec::new();
        loop {
            let request = ListSchedulesRequest {
                namespace: self.temporal.namespace().to_owned(),
                maximum_page_size: PAGE_SIZE,
                next_page_token,
                ..Default::default()
            };
            let page = self
                .temporal
                .request(request, <dyn WorkflowService>::list_schedules)
                .await?;
            for entry in page.schedules {
                let notes = entry.info.map(|info| info.notes).unwrap_or_default();
                // A schedule without our notes was created by a person, under an id like ours: leave it alone.
                if let Some(mark) = Mark::parse(&notes)
                    && desired::agent_of(install, &entry.schedule_id).is_some()
                {
                    found.insert(entry.schedule_id, mark);
                }
            }
            next_page_token = page.next_page_token;
            if next_page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Creates a schedule. If the id exists already, which the list shows late, updates it if it is ours.
    pub(crate) async fn create(&self, id: &str, schedule: &DesiredSchedule) -> Result<(), Error> {
        let request = CreateScheduleRequest {
            namespace: self.temporal.namespace().to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(build(schedule, &self.mark(schedule)?)?),
            identity: self.temporal.identity().to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        match self
            .temporal
            .request(request, <dyn WorkflowService>::create_schedule)
            .await
        {
            Err(TemporalError::AlreadyExists(_)) if self.is_ours(id).await? => self.update(id, schedule).await,
            Err(TemporalError::AlreadyExists(_)) => Err(Error::Foreign),
            created => Ok(created.map(drop)?),
        }
    }

    async fn is_ours(&self, id: &str) -> Result<bool, Error> {
        let request = DescribeScheduleRequest {
            namespace: self.temporal.namespace().to_owned(),
            schedule_id: id.to_owned(),
        };
        let described = self.temporal.request(request, <dyn WorkflowService>::describe_schedule);
        let state = described.await?.schedule.and_then(|schedule| schedule.state);
        let mark = state.and_then(|state| Mark::parse(&state.notes));
        Ok(mark.is_some_and(|mark| mark.cluster == self.cluster))
    }

    /// Updates a schedule.
    pub(crate) async fn update(&self, id: &str, schedule: &DesiredSchedule) -> Result<(), Error> {
        let request = UpdateScheduleRequest {
            namespace: self.temporal.namespace().to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(build(schedule, &self.mark(schedule)?)?),
            identity: self.temporal.identity().to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        let updated = self
            .temporal
            .request(request, <dyn WorkflowService>::update_schedule)
            .await;
        Ok(updated.map(drop)?)
    }

    /// Deletes a schedule, if it exists. The tasks that it started go on.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), Error> {
        let request = DeleteScheduleRequest {
            namespace: self.temporal.namespace().to_owned(),
            schedule_id: id.to_owned(),
            identity: self.temporal.identity().to_owned(),
        };
        match self
            .temporal
            .request(request, <dyn WorkflowService>::delete_schedule)
            .await
        {
            Err(TemporalError::NotFound) => Ok(()),
            deleted => Ok(deleted.map(drop)?),
        }
    }
}

fn cron_strings(desired: &DesiredSchedule) -> Vec<String> {
    if desired.translated.is_empty() {
        vec![desired.cron.clone()]
    } else {
        desired.translated.clone()
    }
}

fn build(desired: &DesiredSchedule, mark: &Mark) -> Result<Schedule, serde_json::Error> {
    let memo = [
        (MEMO_AGENT.to_owned(), plain_json(&desired.agent)?),
        (MEMO_NAME.to_owned(), plain_json(&desired.name)?),
    ];
    let start = NewWorkflowExecutionInfo {
        workflow_id: desired.workflow_id.clone(),
        workflow_type: Some(WorkflowType {
            name: desired.workflow.workflow_type().to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: desired.task_queue.clone(),
            ..Default::default()
        }),
        input: Some(Payloads {
            payloads: vec![plain_json(&desired.workflow)?],
        }),
        memo: Some(Memo {
            fields: memo.into_iter().collect(),
        }),
        ..Default::default()
    };
    let catch_up = Duration::from_secs(desired.catch_up_seconds.max(SHORTEST_CATCH_UP_SECONDS));
    Ok(Schedule {
        spec: Some(ScheduleSpec {
            cron_string: cron_strings(desired),
            timezone_name: desired.time_zone.clone(),
            ..Default::default()
        }),
        action: Some(ScheduleAction {
            action: Some(Action::StartWorkflow(start)),
        }),
        policies: Some(SchedulePolicies {
            overlap_policy: overlap(desired.overlap, &desired.workflow).into(),
            catchup_window: catch_up.try_into().ok(),
            ..Default::default()
        }),
        state: Some(ScheduleState {
            notes: mark.to_string(),
            paused: desired.paused,
            ..Default::default()
        }),
    })
}

const fn overlap(policy: OverlapPolicy, workflow: &ScheduledWorkflow) -> ScheduleOverlapPolicy {
    match (policy, workflow) {
        (OverlapPolicy::Skip, _) => ScheduleOverlapPolicy::Skip,
        (OverlapPolicy::BufferOne, _) => ScheduleOverlapPolicy::BufferOne,
        (OverlapPolicy::AllowAll, ScheduledWorkflow::AgentTask(_)) => ScheduleOverlapPolicy::AllowAll,
        // Parallel runs would arrive in any order, and Temporal would not give them the result of the run before.
        (OverlapPolicy::AllowAll, ScheduledWorkflow::DeliverMessage(_)) => ScheduleOverlapPolicy::BufferAll,
        (OverlapPolicy::CancelOther, _) => ScheduleOverlapPolicy::CancelOther,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::schedules::desired::testing::schedule;

    fn mark() -> Mark {
        Mark {
            cluster: ClusterId("c".to_owned()),
            digest: "d".to_owned(),
        }
    }

    fn start(schedule: Schedule) -> NewWorkflowExecutionInfo {
        let Some(Action::StartWorkflow(start)) = schedule.action.unwrap().action else {
            panic!("the schedule starts no workflow")
        };
        start
    }

    #[test]
    fn a_schedule_has_its_time_its_workflow_and_its_task_queue() {
        let schedule = build(&schedule(&json!({
            "cron": "0 7 * * *", "timeZone": "Europe/Madrid", "overlap": "CancelOther", "catchUp": "1s", "suspend": true,
        })), &mark())
        .unwrap();
        let spec = schedule.spec.clone().unwrap();
        assert_eq!(
            (spec.cron_string, spec.timezone_name),
            (vec!["0 7 * * *".to_owned()], "Europe/Madrid".to_owned())
        );
        let policies = schedule.policies.unwrap();
        assert_eq!(policies.overlap_policy(), ScheduleOverlapPolicy::CancelOther);
        assert_eq!(policies.catchup_window.unwrap().seconds, 10);
        let state = schedule.state.clone().unwrap();
        assert!(state.paused && state.notes == mark().to_string());
        let start = start(schedule);
        assert_eq!(start.workflow_type.unwrap().name, "AgentTask");
        assert_eq!(start.task_queue.unwrap().name, "demo/team/agent/a");
        let input: Value = serde_json::from_slice(&start.input.unwrap().payloads[0].data).unwrap();
        assert_eq!(input["messages"][0]["content"]["text"], "Go.");
        assert_eq!(start.memo.unwrap().fields[MEMO_AGENT].data, b"\"team/a\"");
    }

    #[test]
    fn a_schedule_runs_when_crontab_would_run_it() {
        let strings = |cron: &str| {
            let schedule = build(&schedule(&json!({ "cron": cron })), &mark()).unwrap();
            schedule.spec.unwrap().cron_string
        };
        assert_eq!(strings(" 0 9 * * MON-FRI "), ["0 9 * * MON-FRI"]);
        assert_eq!(strings("0 9 13 * FRI"), ["0 9 13 * *", "0 9 * * FRI"]);
        assert_eq!(strings("0 9 * * MON#1"), ["0 9 1-7 * 1"]);
    }

    #[test]
    fn messages_to_a_fixed_task_are_never_sent_in_parallel() {
        let schedule = build(&schedule(&json!({ "task": "Fixed", "overlap": "AllowAll" })), &mark()).unwrap();
        assert_eq!(
            schedule.policies.unwrap().overlap_policy(),
            ScheduleOverlapPolicy::BufferAll
        );
        let start = start(schedule);
        assert_eq!(start.workflow_type.unwrap().name, "DeliverMessage");
        assert_eq!(start.task_queue.unwrap().name, "demo/team/agent/a");
    }
}

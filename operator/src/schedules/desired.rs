//! The Temporal Schedules that an Agent desires. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use steadfast_contract::{
    scheduled::{DELIVER_MESSAGE_WORKFLOW_TYPE, ScheduledMessage},
    signals::ReceiveEvent,
    start::{StartTask, WORKFLOW_TYPE},
};
use steadfast_crds::{
    agent::{OverlapPolicy, Schedule, ScheduledTask},
    names::home_task_queue,
};
use steadfast_events::{Content, TextFormat};
use steadfast_temporal::Codec;
use uuid::Uuid;

use crate::{hashing::content_digest, kube::namespaced_name::NamespacedName, schedules::cron};

/// The schedules of one Agent, by schedule id.
pub type AgentSchedules = BTreeMap<String, DesiredSchedule>;

/// One schedule as it should be in Temporal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DesiredSchedule {
    /// `namespace/name` of the Agent.
    pub agent: String,
    /// Name of the schedule in the Agent.
    pub name: String,
    /// Cron expression of the Agent.
    pub cron: String,
    /// Cron strings for Temporal, where they differ from the expression. A run starts at the times of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub translated: Vec<String>,
    /// Time zone of the cron expression.
    pub time_zone: String,
    /// What happens when the run before has not ended.
    pub overlap: OverlapPolicy,
    /// How long after its time a missed run is still started, in seconds.
    pub catch_up_seconds: u64,
    /// Whether no runs are started.
    pub paused: bool,
    /// Task queue of the workflow.
    pub task_queue: String,
    /// The start of each run's workflow id; Temporal adds the time.
    pub workflow_id: String,
    /// The workflow that each run starts.
    pub workflow: ScheduledWorkflow,
}

/// The workflow that a run starts, with its input.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ScheduledWorkflow {
    /// A new task.
    AgentTask(Box<StartTask>),
    /// A message to the fixed task: a schedule can only start workflows.
    DeliverMessage(Box<ScheduledMessage>),
}

impl ScheduledWorkflow {
    /// The workflow type.
    #[must_use]
    pub const fn workflow_type(&self) -> &'static str {
        match self {
            Self::AgentTask(_) => WORKFLOW_TYPE,
            Self::DeliverMessage(_) => DELIVER_MESSAGE_WORKFLOW_TYPE,
        }
    }
}

/// The schedules of an Agent; `pool` is the WorkerPool that runs it.
pub(crate) fn of_agent(
    agent: &NamespacedName,
    schedules: &[Schedule],
    install: &str,
    pool: Option<&str>,
) -> AgentSchedules {
    let task_queue = home_task_queue(install, &agent.namespace, &agent.name, pool);
    schedules
        .iter()
        .map(|schedule| {
            let id = format!("{install}/{agent}/{}", schedule.name);
            let desired = desired(&id, agent, schedule, task_queue.clone());
            (id, desired)
        })
        .collect()
}

/// The Agent of a schedule, by the schedule's id; `None` for a schedule of another install or of a person.
pub(crate) fn agent_of(install: &str, id: &str) -> Option<NamespacedName> {
    let mut parts = id.split('/');
    let (owner, namespace, agent) = (parts.next()?, parts.next()?, parts.next()?);
    let has_name = parts.next().is_some() && parts.next().is_none();
    (owner == install && has_name).then(|| NamespacedName::new(namespace, agent))
}

/// A digest that differs between two versions of a schedule. With encryption it is keyed, because it stands in Temporal
/// in clear; another key thus makes another version, which is written with that key.
pub(crate) fn digest(schedule: &DesiredSchedule, codec: &Codec) -> Result<String, serde_json::Error> {
    let digest = content_digest::digest(schedule)?;
    Ok(codec.keyed_digest(digest.as_bytes()).unwrap_or(digest))
}

fn desired(id: &str, agent: &NamespacedName, schedule: &Schedule, task_queue: String) -> DesiredSchedule {
    // Made from nothing that can be edited: a fixed task outlives every edit of the schedule.
    let stable_id = Uuid::new_v5(&Uuid::NAMESPACE_URL, id.as_bytes()).to_string();
    let content = Content::text(schedule.message.clone(), TextFormat::default());
    let (workflow_id, workflow) = match schedule.task {
        ScheduledTask::New => (
            stable_id,
            ScheduledWorkflow::AgentTask(start_task(agent, schedule, content)),
        ),
        ScheduledTask::Fixed => {
            let workflow_id = format!("deliver-{stable_id}");
            let message = ScheduledMessage {
                task_id: stable_id,
                namespace: agent.namespace.clone(),
                agent: agent.name.clone(),
                name: schedule.name.clone(),
                content,
            };
            (workflow_id, ScheduledWorkflow::DeliverMessage(Box::new(message)))
        }
    };
    DesiredSchedule {
        agent: agent.to_string(),
        name: schedule.name.clone(),
        translated: translated(schedule.cron.trim()),
        cron: schedule.cron.trim().to_owned(),
        time_zone: schedule.time_zone.trim().to_owned(),
        overlap: schedule.overlap,
        catch_up_seconds: schedule.catch_up.whole_seconds(),
        paused: schedule.suspend,
        task_queue,
        workflow_id,
        workflow,
    }
}

/// Only schedules of accepted Agents are desired, and their expressions can be translated.
fn translated(expression: &str) -> Vec<String> {
    let strings = cron::translate(expression).unwrap_or_default();
    if strings == [expression] { Vec::new() } else { strings }
}

fn start_task(agent: &NamespacedName, schedule: &Schedule, content: Content) -> Box<StartTask> {
    // Temporal makes the workflow id of each run; the worker uses it as the task id.
    let task_id = "";
    Box::new(StartTask {
        messages: vec![ReceiveEvent {
            message_id: format!("schedule-{}", schedule.name),
            idempotency_key: None,
            content,
            sender: String::new(),
        }],
        // A task that waits for more messages would never end, and the next run would be skipped for it.
        one_turn: true,
        ..StartTask::new(task_id, &agent.namespace, &agent.name)
    })
}

#[cfg(test)]
pub(crate) mod testing {
    use serde_json::{Value, json};

    use super::*;

    /// The one schedule of the Agent team/a in the install demo, with `fields` over the required ones.
    pub(crate) fn schedule(fields: &Value) -> DesiredSchedule {
        let mut schedule = json!({ "name": "daily", "cron": "@daily", "message": "Go." });
        schedule
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        of_agent_a(&json!([schedule])).into_values().next().unwrap()
    }

    /// Schedules with these names and messages.
    pub(crate) fn schedules(schedules: &[(&str, &str)]) -> AgentSchedules {
        let schedules: Vec<_> = schedules
            .iter()
            .map(|(name, message)| json!({ "name": name, "cron": "@daily", "message": message }))
            .collect();
        of_agent_a(&json!(schedules))
    }

    fn of_agent_a(schedules: &Value) -> AgentSchedules {
        let schedules: Vec<Schedule> = serde_json::from_value(schedules.clone()).unwrap();
        of_agent(&NamespacedName::new("team", "a"), &schedules, "demo", None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        testing::{schedule, schedules},
        *,
    };

    #[test]
    fn a_run_starts_a_task_of_one_turn_with_the_message() {
        let desired = schedules(&[("morning", "Go.")]);
        let (id, schedule) = desired.first_key_value().unwrap();
        assert_eq!(id, "demo/team/a/morning");
        assert_eq!(schedule.task_queue, "demo/team/agent/a");
        assert_eq!(schedule.workflow.workflow_type(), "AgentTask");
        assert_eq!(
            serde_json::to_value(&schedule.workflow).unwrap(),
            json!({
                "schema_version": steadfast_contract::start::SCHEMA_VERSION,
                "task_id": "",
                "namespace": "team",
                "agent": "a",
                "messages": [{
                    "message_id": "schedule-morning",
                    "content": { "type": "text", "text": "Go.", "format": "plain" },
                }],
                "one_turn": true,
            })
        );
    }

    #[test]
    fn each_run_of_a_schedule_with_a_fixed_task_sends_a_message_to_it() {
        let first = schedule(&json!({ "task": "Fixed" }));
        let edited = schedule(&json!({ "task": "Fixed", "message": "Stop." }));
        assert_eq!(first.workflow_id, edited.workflow_id);
        assert_eq!(edited.workflow.workflow_type(), "DeliverMessage");
        let task_id = edited.workflow_id.strip_prefix("deliver-").unwrap();
        assert_eq!(
            serde_json::to_value(&edited.workflow).unwrap(),
            json!({
                "task_id": task_id,
                "namespace": "team",
                "agent": "a",
                "name": "daily",
                "content": { "type": "text", "text": "Stop.", "format": "plain" },
            })
        );
    }

    #[test]
    fn an_edited_schedule_has_another_digest() {
        let of = |message: &str, task: &str| {
            let schedule = schedule(&json!({ "message": message, "task": task }));
            digest(&schedule, &Codec::default()).unwrap()
        };
        assert_eq!(of("Go.", "New"), of("Go.", "New"));
        assert_ne!(of("Go.", "New"), of("Stop.", "New"));
        assert_ne!(of("Go.", "New"), of("Go.", "Fixed"));
    }

    #[test]
    fn the_id_of_a_schedule_names_its_agent() {
        assert_eq!(
            agent_of("demo", "demo/team/concierge/morning"),
            Some(NamespacedName::new("team", "concierge"))
        );
        for foreign in [
            "demo2/team/concierge/morning",
            "demo/team/concierge",
            "demo/team/a/b/c",
            "nightly",
        ] {
            assert_eq!(agent_of("demo", foreign), None, "{foreign}");
        }
    }
}

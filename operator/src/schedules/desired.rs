//! From an Agent to the Temporal Schedules it wants. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use serde::Serialize;
use steadfast_crds::{
    Agent,
    agent::{OverlapPolicy, Schedule, ScheduledTask},
    names::agent_task_queue,
};
use uuid::Uuid;

use crate::{cache::ObjectKey, content_digest};

/// Workflow type of a task.
const TASK_TYPE: &str = "AgentTask";
/// Workflow type of a delivery: a schedule starts workflows and cannot send to one.
const DELIVERY_TYPE: &str = "DeliverMessage";
/// The state schema that the input is written in.
const SCHEMA_VERSION: u32 = 2;

/// Schedules by id.
pub type Desired = BTreeMap<String, DesiredSchedule>;

/// One schedule as Temporal shall have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DesiredSchedule {
    /// `namespace/name` of the Agent.
    pub agent: String,
    /// Name of the schedule in the Agent.
    pub name: String,
    /// When it runs.
    pub cron: String,
    /// Where that is so.
    pub time_zone: String,
    /// What happens when the run before has not ended.
    pub overlap: OverlapPolicy,
    /// How late a missed run is made up for.
    pub catch_up_seconds: u64,
    /// No runs while true.
    pub paused: bool,
    /// Queue of the workflow.
    pub task_queue: String,
    /// What the id of each run's workflow begins with; Temporal adds the time.
    pub workflow_id: String,
    /// What each run starts.
    pub input: RunInput,
}

/// The input of a run's workflow, which also says what workflow it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RunInput {
    /// A task of its own.
    Task(StartTask),
    /// A delivery to the fixed task.
    Delivery(Delivery),
}

impl RunInput {
    /// Type of the workflow.
    #[must_use]
    pub const fn workflow_type(&self) -> &'static str {
        match self {
            Self::Task(_) => TASK_TYPE,
            Self::Delivery(_) => DELIVERY_TYPE,
        }
    }
}

/// The input of a task, as the workflow reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StartTask {
    schema_version: u32,
    /// Empty: Temporal makes the id, so the worker takes that of the workflow.
    task_id: String,
    namespace: String,
    agent: String,
    messages: Vec<Message>,
    /// A task that waited for more messages would never end, and the next run would be skipped for it.
    one_turn: bool,
}

/// The input of a delivery, as the workflow reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The first task that all runs go to; where it has ended, the worker knows the one that follows.
    task_id: String,
    namespace: String,
    agent: String,
    /// What the task is called.
    name: String,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Message {
    message_id: String,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content {
    Text { text: String },
}

/// Everything an Agent wants.
#[must_use]
pub fn of_agent(agent: &Agent, install: &str) -> Desired {
    let key = ObjectKey::of(agent);
    let schedules = agent.spec.schedules.iter();
    schedules
        .map(|schedule| {
            let id = format!("{install}/{key}/{}", schedule.name);
            let desired = desired(&id, &key, &agent.name_any(), schedule, install);
            (id, desired)
        })
        .collect()
}

/// The Agent of a schedule of this install, by the schedule's id.
#[must_use]
pub fn agent_of(install: &str, id: &str) -> Option<ObjectKey> {
    let mut parts = id.split('/');
    let (of, namespace, agent) = (parts.next()?, parts.next()?, parts.next()?);
    let named = parts.next().is_some() && parts.next().is_none();
    (of == install && named).then(|| ObjectKey::new(namespace, agent))
}

/// What tells two versions of a schedule apart.
pub fn digest(schedule: &DesiredSchedule) -> Result<String, serde_json::Error> {
    content_digest::digest(schedule)
}

fn desired(id: &str, key: &ObjectKey, agent: &str, schedule: &Schedule, install: &str) -> DesiredSchedule {
    // Made of nothing that can be edited: a fixed task outlives every edit.
    let own_id = Uuid::new_v5(&Uuid::NAMESPACE_URL, id.as_bytes()).to_string();
    let content = Content::Text {
        text: schedule.message.clone(),
    };
    let (workflow_id, input) = match schedule.task {
        ScheduledTask::New => (own_id, RunInput::Task(start_task(key, agent, schedule, content))),
        ScheduledTask::Fixed => {
            let workflow_id = format!("deliver-{own_id}");
            let delivery = Delivery {
                task_id: own_id,
                namespace: key.namespace.clone(),
                agent: agent.to_owned(),
                name: schedule.name.clone(),
                content,
            };
            (workflow_id, RunInput::Delivery(delivery))
        }
    };
    DesiredSchedule {
        agent: key.to_string(),
        name: schedule.name.clone(),
        cron: schedule.cron.trim().to_owned(),
        time_zone: schedule.time_zone.trim().to_owned(),
        overlap: schedule.overlap,
        catch_up_seconds: schedule.catch_up.whole_seconds(),
        paused: schedule.suspend,
        task_queue: agent_task_queue(install, &key.namespace, agent),
        workflow_id,
        input,
    }
}

fn start_task(key: &ObjectKey, agent: &str, schedule: &Schedule, content: Content) -> StartTask {
    StartTask {
        schema_version: SCHEMA_VERSION,
        task_id: String::new(),
        namespace: key.namespace.clone(),
        agent: agent.to_owned(),
        messages: vec![Message {
            message_id: format!("schedule-{}", schedule.name),
            content,
        }],
        one_turn: true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn agent(message: &str, task: &str) -> Agent {
        serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "concierge", "namespace": "team" },
            "spec": {
                "instructions": "Answer.", "model": { "name": "m" },
                "schedules": [{ "name": "morning", "cron": "0 7 * * *", "message": message, "task": task }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_run_starts_a_task_of_one_turn_with_the_message() {
        let desired = of_agent(&agent("Go.", "New"), "demo");
        let (id, schedule) = desired.first_key_value().unwrap();
        assert_eq!(id, "demo/team/concierge/morning");
        assert_eq!(schedule.task_queue, "demo/team/agent/concierge");
        assert_eq!(schedule.input.workflow_type(), "AgentTask");
        assert_eq!(
            serde_json::to_value(&schedule.input).unwrap(),
            json!({
                "schema_version": 2,
                "task_id": "",
                "namespace": "team",
                "agent": "concierge",
                "messages": [{
                    "message_id": "schedule-morning",
                    "content": { "type": "text", "text": "Go." },
                }],
                "one_turn": true,
            })
        );
    }

    #[test]
    fn each_run_of_a_schedule_with_a_fixed_task_is_a_delivery_to_it() {
        for message in ["Go.", "Stop."] {
            let desired = of_agent(&agent(message, "Fixed"), "demo");
            let (_, schedule) = desired.first_key_value().unwrap();
            assert_eq!(schedule.input.workflow_type(), "DeliverMessage");
            assert_eq!(schedule.workflow_id, "deliver-1651295a-c531-5327-b054-eddc4877263c");
            assert_eq!(
                serde_json::to_value(&schedule.input).unwrap(),
                json!({
                    "task_id": "1651295a-c531-5327-b054-eddc4877263c",
                    "namespace": "team",
                    "agent": "concierge",
                    "name": "morning",
                    "content": { "type": "text", "text": message },
                })
            );
        }
    }

    #[test]
    fn a_schedule_has_another_digest_once_it_says_something_else() {
        let of = |message, task| digest(of_agent(&agent(message, task), "demo").first_key_value().unwrap().1).unwrap();
        assert_eq!(of("Go.", "New"), of("Go.", "New"));
        assert_ne!(of("Go.", "New"), of("Stop.", "New"));
        assert_ne!(of("Go.", "New"), of("Go.", "Fixed"));
    }

    #[test]
    fn a_schedule_tells_by_its_id_whose_it_is() {
        assert_eq!(
            agent_of("demo", "demo/team/concierge/morning"),
            Some(ObjectKey::new("team", "concierge"))
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

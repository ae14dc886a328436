//! From an Agent to the Temporal Schedules it wants. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use serde::Serialize;
use steadfast_crds::{
    Agent,
    agent::{OverlapPolicy, Schedule},
    names::agent_task_queue,
};
use uuid::Uuid;

use crate::{cache::ObjectKey, content_digest};

/// Workflow type of a task.
pub const WORKFLOW_TYPE: &str = "AgentTask";
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
    /// Queue of the task.
    pub task_queue: String,
    /// What the id of each run's task begins with; Temporal adds the time.
    pub workflow_id: String,
    /// Input of the task.
    pub input: StartTask,
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
    DesiredSchedule {
        agent: key.to_string(),
        name: schedule.name.clone(),
        cron: schedule.cron.trim().to_owned(),
        time_zone: schedule.time_zone.trim().to_owned(),
        overlap: schedule.overlap,
        catch_up_seconds: schedule.catch_up.whole_seconds(),
        paused: schedule.suspend,
        task_queue: agent_task_queue(install, &key.namespace, agent),
        workflow_id: Uuid::new_v5(&Uuid::NAMESPACE_URL, id.as_bytes()).to_string(),
        input: StartTask {
            schema_version: SCHEMA_VERSION,
            task_id: String::new(),
            namespace: key.namespace.clone(),
            agent: agent.to_owned(),
            messages: vec![Message {
                message_id: format!("schedule-{}", schedule.name),
                content: Content::Text {
                    text: schedule.message.clone(),
                },
            }],
            one_turn: true,
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn agent(message: &str) -> Agent {
        serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "concierge", "namespace": "team" },
            "spec": {
                "instructions": "Answer.", "model": { "name": "m" },
                "schedules": [{ "name": "morning", "cron": "0 7 * * *", "message": message }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_run_starts_a_task_of_one_turn_with_the_message() {
        let desired = of_agent(&agent("Go."), "demo");
        let (id, schedule) = desired.first_key_value().unwrap();
        assert_eq!(id, "demo/team/concierge/morning");
        assert_eq!(schedule.task_queue, "demo/team/agent/concierge");
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
    fn a_schedule_has_another_digest_once_it_says_something_else() {
        let of = |message: &str| digest(of_agent(&agent(message), "demo").first_key_value().unwrap().1).unwrap();
        assert_eq!(of("Go."), of("Go."));
        assert_ne!(of("Go."), of("Stop."));
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

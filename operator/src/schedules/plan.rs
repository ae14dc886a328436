//! What to change at Temporal: what there is against what is wanted. Pure.

use std::collections::BTreeMap;

use crate::{
    cache::ObjectKey,
    schedules::desired::{self, Desired, DesiredSchedule},
};

/// One request to Temporal.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// There is none yet.
    Create(Box<DesiredSchedule>),
    /// It says something else.
    Update(Box<DesiredSchedule>),
    /// Nobody wants it any more.
    Delete,
}

/// A change and whom it concerns.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Id of the schedule.
    pub id: String,
    /// Its Agent.
    pub agent: ObjectKey,
    /// What to do.
    pub change: Change,
}

/// What is to be done. `standing`: digest of each schedule there is, by id. `wanted`: what each Agent that was
/// looked at wants. `exists`: whether there is such an Agent, looked at or not.
pub fn plan(
    install: &str,
    standing: &BTreeMap<String, String>,
    wanted: &BTreeMap<ObjectKey, Desired>,
    exists: impl Fn(&ObjectKey) -> Existence,
) -> Result<Vec<Task>, serde_json::Error> {
    let mut tasks = Vec::new();
    for (agent, schedules) in wanted {
        for (id, schedule) in schedules {
            let change = match standing.get(id) {
                None => Change::Create(Box::new(schedule.clone())),
                Some(known) if *known != desired::digest(schedule)? => Change::Update(Box::new(schedule.clone())),
                Some(_) => continue,
            };
            tasks.push(Task {
                id: id.clone(),
                agent: agent.clone(),
                change,
            });
        }
    }
    for id in standing.keys() {
        let Some(agent) = desired::agent_of(install, id) else {
            continue;
        };
        let unwanted = match wanted.get(&agent) {
            Some(schedules) => !schedules.contains_key(id),
            // One that was not looked at yet may want it.
            None => exists(&agent) == Existence::Gone,
        };
        if unwanted {
            tasks.push(Task {
                id: id.clone(),
                agent,
                change: Change::Delete,
            });
        }
    }
    Ok(tasks)
}

/// Whether there is an Agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// There is, or it is not ours to know.
    Possible,
    /// There is none.
    Gone,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use serde_json::json;
    use steadfast_crds::Agent;

    use super::*;

    fn wanted(schedules: &[(&str, &str)]) -> Desired {
        let schedules: Vec<_> = schedules
            .iter()
            .map(|(name, message)| json!({ "name": name, "cron": "@daily", "message": message }))
            .collect();
        let agent: Agent = serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "a", "namespace": "team" },
            "spec": { "instructions": "Answer.", "model": { "name": "m" }, "schedules": schedules },
        }))
        .unwrap();
        desired::of_agent(&agent, "demo")
    }

    fn standing(desired: &Desired) -> BTreeMap<String, String> {
        let digest = |(id, schedule): (&String, &DesiredSchedule)| (id.clone(), desired::digest(schedule).unwrap());
        desired.iter().map(digest).collect()
    }

    fn changes(
        standing: &BTreeMap<String, String>,
        wanted: &BTreeMap<ObjectKey, Desired>,
        exists: Existence,
    ) -> Vec<(String, &'static str)> {
        let tasks = plan("demo", standing, wanted, |_| exists).unwrap();
        let word = |change: &Change| match change {
            Change::Create(_) => "create",
            Change::Update(_) => "update",
            Change::Delete => "delete",
        };
        tasks.iter().map(|task| (task.id.clone(), word(&task.change))).collect()
    }

    fn of_a(desired: Desired) -> BTreeMap<ObjectKey, Desired> {
        BTreeMap::from([(ObjectKey::new("team", "a"), desired)])
    }

    #[test]
    fn only_what_differs_is_changed() {
        let before = wanted(&[("same", "x"), ("edited", "x"), ("dropped", "x")]);
        let after = wanted(&[("same", "x"), ("edited", "y"), ("new", "x")]);
        assert_eq!(
            changes(&standing(&before), &of_a(after), Existence::Possible),
            [
                ("demo/team/a/edited".to_owned(), "update"),
                ("demo/team/a/new".to_owned(), "create"),
                ("demo/team/a/dropped".to_owned(), "delete"),
            ]
        );
    }

    #[test]
    fn what_nobody_wants_goes_only_when_its_agent_was_looked_at_or_is_gone() {
        let standing = standing(&wanted(&[("daily", "x")]));
        let deleted = [("demo/team/a/daily".to_owned(), "delete")];
        let nobody = BTreeMap::new();
        assert_eq!(changes(&standing, &nobody, Existence::Possible), []);
        assert_eq!(changes(&standing, &nobody, Existence::Gone), deleted);
        assert_eq!(changes(&standing, &of_a(Desired::new()), Existence::Possible), deleted);
    }
}

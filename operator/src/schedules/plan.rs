//! Plans the changes in Temporal: the difference between the schedules that
//! exist and those that Agents desire. Pure.

use std::collections::BTreeMap;

use crate::{
    kube::namespaced_name::NamespacedName,
    schedules::desired::{self, AgentSchedules, DesiredSchedule},
};

/// What to do with one schedule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// The schedule does not exist.
    Create(Box<DesiredSchedule>),
    /// The schedule differs.
    Update(Box<DesiredSchedule>),
    /// No Agent desires the schedule.
    Delete,
}

/// The change of one schedule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// Id of the schedule.
    pub(crate) id: String,
    /// The Agent of the schedule.
    pub(crate) agent: NamespacedName,
    /// What to do.
    pub(crate) action: Action,
}

/// Whether an Agent exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existence {
    /// The Agent exists, or this operator does not watch its namespace.
    Possible,
    /// The Agent does not exist.
    Gone,
}

/// The changes that are needed.
///
/// `existing` is the digest of each schedule in Temporal, by id. `desired` holds the schedules of each Agent that was
/// reconciled. `existence` tells whether any other Agent exists.
pub(crate) fn plan(
    install: &str,
    existing: &BTreeMap<String, String>,
    desired: &BTreeMap<NamespacedName, AgentSchedules>,
    existence: impl Fn(&NamespacedName) -> Existence,
) -> Result<Vec<Change>, serde_json::Error> {
    let mut changes = Vec::new();
    for (agent, schedules) in desired {
        for (id, schedule) in schedules {
            let action = match existing.get(id) {
                None => Action::Create(Box::new(schedule.clone())),
                Some(digest) if *digest != desired::digest(schedule)? => Action::Update(Box::new(schedule.clone())),
                Some(_) => continue,
            };
            changes.push(Change {
                id: id.clone(),
                agent: agent.clone(),
                action,
            });
        }
    }
    for id in existing.keys() {
        let Some(agent) = desired::agent_of(install, id) else {
            continue;
        };
        let unwanted = match desired.get(&agent) {
            Some(schedules) => !schedules.contains_key(id),
            // An Agent that was not reconciled yet may desire it.
            None => existence(&agent) == Existence::Gone,
        };
        if unwanted {
            changes.push(Change {
                id: id.clone(),
                agent,
                action: Action::Delete,
            });
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::desired::testing::schedules;

    fn digests(schedules: &AgentSchedules) -> BTreeMap<String, String> {
        let digest = |(id, schedule): (&String, &DesiredSchedule)| (id.clone(), desired::digest(schedule).unwrap());
        schedules.iter().map(digest).collect()
    }

    fn changes(
        existing: &BTreeMap<String, String>,
        desired: &BTreeMap<NamespacedName, AgentSchedules>,
        existence: Existence,
    ) -> Vec<(String, &'static str)> {
        let changes = plan("demo", existing, desired, |_| existence).unwrap();
        let verb = |action: &Action| match action {
            Action::Create(_) => "create",
            Action::Update(_) => "update",
            Action::Delete => "delete",
        };
        changes
            .iter()
            .map(|change| (change.id.clone(), verb(&change.action)))
            .collect()
    }

    fn of_agent_a(schedules: AgentSchedules) -> BTreeMap<NamespacedName, AgentSchedules> {
        BTreeMap::from([(NamespacedName::new("team", "a"), schedules)])
    }

    #[test]
    fn only_schedules_that_differ_are_changed() {
        let before = schedules(&[("same", "x"), ("edited", "x"), ("dropped", "x")]);
        let after = schedules(&[("same", "x"), ("edited", "y"), ("new", "x")]);
        assert_eq!(
            changes(&digests(&before), &of_agent_a(after), Existence::Possible),
            [
                ("demo/team/a/edited".to_owned(), "update"),
                ("demo/team/a/new".to_owned(), "create"),
                ("demo/team/a/dropped".to_owned(), "delete"),
            ]
        );
    }

    #[test]
    fn an_undesired_schedule_is_deleted_only_when_its_agent_was_reconciled_or_is_gone() {
        let existing = digests(&schedules(&[("daily", "x")]));
        let deleted = [("demo/team/a/daily".to_owned(), "delete")];
        let nobody = BTreeMap::new();
        assert_eq!(changes(&existing, &nobody, Existence::Possible), []);
        assert_eq!(changes(&existing, &nobody, Existence::Gone), deleted);
        assert_eq!(
            changes(&existing, &of_agent_a(AgentSchedules::new()), Existence::Possible),
            deleted
        );
    }
}

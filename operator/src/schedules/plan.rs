//! Plans the changes in Temporal: the difference between the schedules that
//! exist and those that Agents desire. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    kube::namespaced_name::NamespacedName,
    schedules::{
        desired::{self, AgentSchedules, DesiredSchedule},
        mark::{ClusterId, Mark},
    },
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

/// The schedules of which cluster an operator may change.
#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    /// This cluster.
    pub(crate) cluster: ClusterId,
    /// Clusters that are gone, and whose schedules this one takes over.
    pub(crate) taken_over: BTreeSet<ClusterId>,
}

impl Ownership {
    fn includes(&self, cluster: &ClusterId) -> bool {
        *cluster == self.cluster || self.taken_over.contains(cluster)
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// The changes that are needed.
    pub(crate) changes: Vec<Change>,
    /// The cluster of each schedule that has our install id and belongs to another cluster, by id. They stay as they
    /// are.
    pub(crate) conflicts: BTreeMap<String, ClusterId>,
}

/// Compares the schedules in Temporal with those that Agents desire.
///
/// `existing` is the mark of each schedule in Temporal, by id. `desired` holds the schedules of each Agent that was
/// reconciled, `mark` makes the mark of one. `existence` tells whether any other Agent exists.
pub(crate) fn plan<E>(
    install: &str,
    ownership: &Ownership,
    existing: &BTreeMap<String, Mark>,
    desired: &BTreeMap<NamespacedName, AgentSchedules>,
    mark: impl Fn(&DesiredSchedule) -> Result<Mark, E>,
    existence: impl Fn(&NamespacedName) -> Existence,
) -> Result<Plan, E> {
    let mut plan = Plan::default();
    for (id, mark) in existing {
        if desired::agent_of(install, id).is_some() && !ownership.includes(&mark.cluster) {
            plan.conflicts.insert(id.clone(), mark.cluster.clone());
        }
    }
    for (agent, schedules) in desired {
        for (id, schedule) in schedules {
            let action = match existing.get(id) {
                None => Action::Create(Box::new(schedule.clone())),
                Some(_) if plan.conflicts.contains_key(id) => continue,
                Some(existing) if *existing != mark(schedule)? => Action::Update(Box::new(schedule.clone())),
                Some(_) => continue,
            };
            plan.changes.push(Change {
                id: id.clone(),
                agent: agent.clone(),
                action,
            });
        }
    }
    for id in existing.keys().filter(|id| !plan.conflicts.contains_key(*id)) {
        let Some(agent) = desired::agent_of(install, id) else {
            continue;
        };
        let unwanted = match desired.get(&agent) {
            Some(schedules) => !schedules.contains_key(id),
            // An Agent that was not reconciled yet may desire it.
            None => existence(&agent) == Existence::Gone,
        };
        if unwanted {
            plan.changes.push(Change {
                id: id.clone(),
                agent,
                action: Action::Delete,
            });
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use steadfast_temporal::Codec;

    use super::*;
    use crate::schedules::desired::testing::schedules;

    const HERE: &str = "this-cluster";

    fn mark_of(cluster: &str, schedule: &DesiredSchedule) -> Mark {
        Mark {
            cluster: ClusterId(cluster.to_owned()),
            digest: desired::digest(schedule, &Codec::default()).unwrap(),
        }
    }

    /// Schedules as they are in Temporal, created by the operator of a cluster.
    fn created_by(cluster: &str, schedules: &AgentSchedules) -> BTreeMap<String, Mark> {
        let mark = |(id, schedule): (&String, &DesiredSchedule)| (id.clone(), mark_of(cluster, schedule));
        schedules.iter().map(mark).collect()
    }

    fn planned(
        existing: &BTreeMap<String, Mark>,
        desired: &BTreeMap<NamespacedName, AgentSchedules>,
        existence: Existence,
        taken_over: &[&str],
    ) -> Plan {
        let ownership = Ownership {
            cluster: ClusterId(HERE.to_owned()),
            taken_over: taken_over
                .iter()
                .map(|&cluster| ClusterId(cluster.to_owned()))
                .collect(),
        };
        let mark = |schedule: &DesiredSchedule| Ok::<_, Infallible>(mark_of(HERE, schedule));
        plan("demo", &ownership, existing, desired, mark, |_| existence).unwrap()
    }

    fn verbs(plan: &Plan) -> Vec<(String, &'static str)> {
        let verb = |action: &Action| match action {
            Action::Create(_) => "create",
            Action::Update(_) => "update",
            Action::Delete => "delete",
        };
        plan.changes
            .iter()
            .map(|change| (change.id.clone(), verb(&change.action)))
            .collect()
    }

    fn changes(
        existing: &BTreeMap<String, Mark>,
        desired: &BTreeMap<NamespacedName, AgentSchedules>,
        existence: Existence,
    ) -> Vec<(String, &'static str)> {
        let plan = planned(existing, desired, existence, &[]);
        assert!(plan.conflicts.is_empty());
        verbs(&plan)
    }

    fn of_agent_a(schedules: AgentSchedules) -> BTreeMap<NamespacedName, AgentSchedules> {
        BTreeMap::from([(NamespacedName::new("team", "a"), schedules)])
    }

    #[test]
    fn only_schedules_that_differ_are_changed() {
        let before = schedules(&[("same", "x"), ("edited", "x"), ("dropped", "x")]);
        let after = schedules(&[("same", "x"), ("edited", "y"), ("new", "x")]);
        assert_eq!(
            changes(&created_by(HERE, &before), &of_agent_a(after), Existence::Possible),
            [
                ("demo/team/a/edited".to_owned(), "update"),
                ("demo/team/a/new".to_owned(), "create"),
                ("demo/team/a/dropped".to_owned(), "delete"),
            ]
        );
    }

    #[test]
    fn an_undesired_schedule_is_deleted_only_when_its_agent_was_reconciled_or_is_gone() {
        let existing = created_by(HERE, &schedules(&[("daily", "x")]));
        let deleted = [("demo/team/a/daily".to_owned(), "delete")];
        let nobody = BTreeMap::new();
        assert_eq!(changes(&existing, &nobody, Existence::Possible), []);
        assert_eq!(changes(&existing, &nobody, Existence::Gone), deleted);
        assert_eq!(
            changes(&existing, &of_agent_a(AgentSchedules::new()), Existence::Possible),
            deleted
        );
    }

    #[test]
    fn the_schedules_of_another_cluster_are_neither_changed_nor_deleted() {
        let existing = created_by("another", &schedules(&[("same", "x"), ("dropped", "x")]));
        let desired = of_agent_a(schedules(&[("same", "y"), ("new", "x")]));
        let plan = planned(&existing, &desired, Existence::Gone, &[]);
        assert_eq!(verbs(&plan), [("demo/team/a/new".to_owned(), "create")]);
        let ids: Vec<&str> = plan.conflicts.keys().map(String::as_str).collect();
        assert_eq!(ids, ["demo/team/a/dropped", "demo/team/a/same"]);
        let plan = planned(&existing, &BTreeMap::new(), Existence::Gone, &[]);
        assert_eq!((verbs(&plan), plan.conflicts.len()), (vec![], 2));
    }

    #[test]
    fn the_schedules_of_a_cluster_that_is_taken_over_become_ours() {
        let existing = created_by("former", &schedules(&[("same", "x"), ("dropped", "x")]));
        let desired = of_agent_a(schedules(&[("same", "x")]));
        let plan = planned(&existing, &desired, Existence::Gone, &["former"]);
        assert!(plan.conflicts.is_empty());
        assert_eq!(
            verbs(&plan),
            [
                ("demo/team/a/same".to_owned(), "update"),
                ("demo/team/a/dropped".to_owned(), "delete"),
            ]
        );
    }
}

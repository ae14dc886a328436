//! What an edit must change: of which objects, and which part of what the operator makes of them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Edit, Effect};

/// A part of what the operator makes of an Agent or a WorkerPool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A new AgentRevision.
    Revision,
    /// The pod template.
    Pods,
    /// The Deployment without its pod template.
    Replicas,
    /// ServiceAccount, Role and RoleBinding.
    Access,
    /// The schedules in Temporal.
    Schedules,
}

impl Edit {
    /// What this edit of the object of that name changes; each object is written `Agent/name`.
    #[must_use]
    pub fn expected_changes(&self, objects: &[Value], name: &str) -> BTreeSet<(String, Part)> {
        let own = format!("{}/{name}", self.kind);
        let part = match self.effect {
            Effect::Pods | Effect::RevisionAndPods => Some(Part::Pods),
            Effect::Replicas => Some(Part::Replicas),
            Effect::Schedule => Some(Part::Schedules),
            Effect::Revision
            | Effect::RevisionOfReferrersToo
            | Effect::Scaling
            | Effect::Move
            | Effect::Deletion
            | Effect::Permission
            | Effect::Refused(_) => None,
        };
        let revisions = self.revisions(objects, name);
        revisions
            .into_iter()
            .map(|agent| (format!("Agent/{agent}"), Part::Revision))
            .chain(part.map(|part| (own, part)))
            .collect()
    }

    /// The names of the Agents that get a new revision.
    fn revisions(&self, objects: &[Value], name: &str) -> Vec<String> {
        let of_agents = |concerned: &dyn Fn(&Value) -> bool| {
            let agents = objects.iter().filter(|object| object["kind"] == "Agent");
            let concerned = agents.filter(|agent| concerned(&agent["spec"]));
            concerned
                .filter_map(|agent| agent["metadata"]["name"].as_str().map(str::to_owned))
                .collect()
        };
        match (self.kind, self.effect) {
            ("Agent", Effect::Revision | Effect::RevisionAndPods) => vec![name.to_owned()],
            ("Agent", Effect::RevisionOfReferrersToo) => {
                let mut agents: Vec<String> =
                    of_agents(&|spec| items(spec).any(|item| item["agent"] == name && item["description"].is_null()));
                agents.push(name.to_owned());
                agents
            }
            ("AgentTool", Effect::Revision) => of_agents(&|spec| items(spec).any(|item| item["tool"] == name)),
            ("WorkerPool", Effect::Revision) => of_agents(&|spec| spec["workerPool"]["name"] == name),
            _ => vec![],
        }
    }
}

fn items(spec: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["tools", "handoffs"].into_iter();
    lists.flat_map(|list| spec[list].as_array().into_iter().flatten())
}

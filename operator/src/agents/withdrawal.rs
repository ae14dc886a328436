//! What a revision loses while its Agent has errors. The newest revision runs on then, but
//! only with those references to other namespaces that the spec still has and that are
//! permitted: a grant that is gone counts, whatever else is wrong with the Agent. Pure.

use std::collections::BTreeSet;

use steadfast_crds::{AgentRevisionSpec, agent_reference_grant::ReferentKind};

use crate::{agents::grants::Referent, kube::namespaced_name::NamespacedName};

/// Whether a revision refers to other namespaces.
pub(crate) fn has_foreign_references(revision: &AgentRevisionSpec) -> bool {
    revision.tools.iter().any(|tool| tool.from.is_some())
        || revision.agents.iter().any(|agent| agent.namespace.is_some())
        || revision.handoffs.iter().any(|handoff| handoff.namespace.is_some())
        || revision.judges.keys().any(|judge| judge.contains('/'))
}

/// The revision without the references to other namespaces that are not `permitted`; `None` if it has no such. A
/// guardrail keeps its place and loses its judge: without a judge every turn fails, and no text goes unchecked.
pub(crate) fn without_unpermitted(
    revision: &AgentRevisionSpec,
    permitted: &BTreeSet<Referent>,
) -> Option<AgentRevisionSpec> {
    let is_permitted = |kind, namespace: &str, name: &str| {
        let key = NamespacedName::new(namespace, name);
        permitted.contains(&Referent { kind, key })
    };
    let may_ask = |namespace: &Option<String>, agent: &str| {
        let namespace = namespace.as_deref();
        namespace.is_none_or(|namespace| is_permitted(ReferentKind::Agent, namespace, agent))
    };
    let mut left = revision.clone();
    left.tools.retain(|tool| {
        let from = tool.from.as_ref();
        from.is_none_or(|from| is_permitted(ReferentKind::AgentTool, &from.namespace, &from.name))
    });
    left.agents.retain(|entry| may_ask(&entry.namespace, &entry.agent));
    left.handoffs.retain(|entry| may_ask(&entry.namespace, &entry.agent));
    left.judges.retain(|judge, _| {
        let foreign = judge.split_once('/');
        foreign.is_none_or(|(namespace, name)| is_permitted(ReferentKind::Agent, namespace, name))
    });
    (left != *revision).then_some(left)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision() -> AgentRevisionSpec {
        let tool = json!({ "description": "d", "activity": { "name": "a" } });
        let spec = json!({
            "agent": "triage", "sequence": 3, "model": { "name": "m" }, "taskQueue": "q",
            "tools": [
                { "name": "own", "spec": tool },
                { "name": "get_refund", "from": { "namespace": "shop", "name": "get-refund" }, "spec": tool },
            ],
            "agents": [
                { "name": "ask_own", "agent": "own", "taskQueue": "o" },
                { "name": "ask_desk", "agent": "desk", "namespace": "shop", "taskQueue": "s" },
            ],
            "handoffs": [{ "name": "transfer_to_desk", "agent": "desk", "namespace": "shop", "taskQueue": "s" }],
            "judges": { "own": "o", "shop/judge": "j" },
        });
        serde_json::from_value(spec).unwrap()
    }

    fn referent(kind: ReferentKind, name: &str) -> Referent {
        Referent {
            kind,
            key: NamespacedName::new("shop", name),
        }
    }

    #[test]
    fn nothing_is_taken_from_a_revision_whose_references_are_permitted() {
        let all = BTreeSet::from([
            referent(ReferentKind::AgentTool, "get-refund"),
            referent(ReferentKind::Agent, "desk"),
            referent(ReferentKind::Agent, "judge"),
        ]);
        assert_eq!(without_unpermitted(&revision(), &all), None);
        assert!(has_foreign_references(&revision()));
    }

    #[test]
    fn what_is_not_permitted_is_taken_and_what_is_in_the_own_namespace_stays() {
        let left = without_unpermitted(&revision(), &BTreeSet::new()).unwrap();
        assert!(!has_foreign_references(&left));
        let names = (
            left.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(),
            left.agents.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>(),
            left.handoffs.len(),
            left.judges.keys().map(String::as_str).collect::<Vec<_>>(),
        );
        assert_eq!(names, (vec!["own"], vec!["ask_own"], 0, vec!["own"]));

        // An AgentTool and an Agent of the same name are two things.
        let other_kind = BTreeSet::from([referent(ReferentKind::AgentTool, "desk")]);
        let left = without_unpermitted(&revision(), &other_kind).unwrap();
        assert_eq!((left.agents.len(), left.handoffs.len()), (1, 0));
    }
}

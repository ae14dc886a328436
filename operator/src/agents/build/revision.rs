//! Whether an Agent needs a new revision, and that revision. Sequence numbers
//! only increase: going back to an earlier content makes a new revision too.

use kube::ResourceExt as _;
use steadfast_crds::{
    AgentRevision, AgentRevisionSpec,
    names::{SEQUENCE_LABEL, WORKER_POOL_LABEL, parse_pool_task_queue, revision_name},
};

use super::{RevisionPlan, metadata::owned_metadata};
use crate::agents::{identity::AgentIdentity, revision_history::RevisionHistory, validate::RevisionContent};

/// Compares the Agent's content with its newest revision.
pub(crate) fn plan(
    agent: &AgentIdentity,
    content: Option<&RevisionContent>,
    history: &RevisionHistory,
) -> RevisionPlan {
    let current = history.current.as_ref();
    let keep = RevisionPlan::Keep {
        current: current.map(|current| current.sequence),
    };
    let Some(content) = content else { return keep };
    if current.is_some_and(|current| current.sequence == history.highest && current.summary.digest == content.digest) {
        return keep;
    }
    // Anybody who may create revisions may write any number into a label.
    let sequence = history.highest.saturating_add(1);
    let mut revision = AgentRevision::new(
        &revision_name(&agent.key.name, sequence),
        AgentRevisionSpec {
            sequence,
            ..content.spec.clone()
        },
    );
    revision.metadata = owned_metadata(&agent.as_owner(), revision.name_any());
    let labels = revision.labels_mut();
    labels.insert(SEQUENCE_LABEL.to_owned(), sequence.to_string());
    // The workers of a pool select the revisions of their Agents by this label.
    let pool = parse_pool_task_queue(&content.spec.task_queue);
    labels.extend(pool.map(|(.., pool)| (WORKER_POOL_LABEL.to_owned(), pool.to_owned())));
    RevisionPlan::Create {
        revision: Box::new(revision),
        digest: content.digest.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::revision_history::{CurrentRevision, RevisionSummary};

    fn agent() -> AgentIdentity {
        let agent: steadfast_crds::Agent = serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1",
            "kind": "Agent",
            "metadata": { "name": "weather", "namespace": "team", "uid": "u" },
            "spec": { "instructions": "Answer.", "model": { "name": "m" } },
        }))
        .unwrap();
        AgentIdentity::of(&agent)
    }

    fn content(digest: &str) -> RevisionContent {
        let spec = json!({ "agent": "weather", "sequence": 0, "model": { "name": "m" }, "taskQueue": "q" });
        RevisionContent {
            spec: serde_json::from_value(spec).unwrap(),
            digest: digest.to_owned(),
        }
    }

    fn history(highest: i64, current: Option<(i64, &str)>) -> RevisionHistory {
        RevisionHistory {
            highest,
            current: current.map(|(sequence, digest)| CurrentRevision {
                sequence,
                summary: RevisionSummary {
                    digest: digest.to_owned(),
                    has_foreign_references: false,
                },
            }),
        }
    }

    fn created(plan: &RevisionPlan) -> Option<(String, i64)> {
        match plan {
            RevisionPlan::Create { revision, .. } => Some((revision.name_any(), revision.spec.sequence)),
            RevisionPlan::Keep { .. } => None,
        }
    }

    #[test]
    fn a_new_revision_is_created_only_when_the_content_differs() {
        let same = plan(&agent(), Some(&content("a")), &history(3, Some((3, "a"))));
        assert_eq!(same, RevisionPlan::Keep { current: Some(3) });
        let other = plan(&agent(), Some(&content("b")), &history(3, Some((3, "a"))));
        assert_eq!(created(&other), Some(("weather-4".to_owned(), 4)));
    }

    #[test]
    fn sequence_numbers_of_deleted_revisions_are_not_used_again() {
        let none_left = plan(&agent(), Some(&content("a")), &history(7, None));
        assert_eq!(created(&none_left), Some(("weather-8".to_owned(), 8)));
        let newest_deleted = plan(&agent(), Some(&content("a")), &history(7, Some((5, "a"))));
        assert_eq!(created(&newest_deleted), Some(("weather-8".to_owned(), 8)));
        let first = plan(&agent(), Some(&content("a")), &history(0, None));
        assert_eq!(created(&first), Some(("weather-1".to_owned(), 1)));
    }

    #[test]
    fn an_agent_with_errors_keeps_its_revision() {
        assert_eq!(
            plan(&agent(), None, &history(3, Some((3, "a")))),
            RevisionPlan::Keep { current: Some(3) }
        );
    }
}

//! The part of an Agent that other Agents see, and whether it changed.

use std::collections::HashMap;

use crate::{agents::identity::GuardedAgent, kube::namespaced_name::NamespacedName};

/// The part of an Agent that the Agents which refer to it use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentSummary {
    /// The Agent does not exist.
    Missing,
    /// The Agent exists and cannot be decoded, for this reason.
    Invalid(String),
    /// The Agent exists, with this description.
    Valid(String),
}

impl AgentSummary {
    /// The summary of an Agent from the watch.
    #[must_use]
    pub fn of(agent: Option<&GuardedAgent>) -> Self {
        match agent.map(|agent| &agent.0) {
            None => Self::Missing,
            Some(Err(invalid)) => Self::Invalid(invalid.to_string()),
            Some(Ok(agent)) => Self::Valid(agent.spec.description.clone()),
        }
    }
}

/// The last summary of each Agent.
#[derive(Debug, Default)]
pub(crate) struct AgentSummaries(HashMap<NamespacedName, AgentSummary>);

impl AgentSummaries {
    /// Stores the summary of an Agent. True if it differs from the last one.
    pub(crate) fn update(&mut self, agent: &NamespacedName, summary: AgentSummary) -> bool {
        let changed = self.0.get(agent).unwrap_or(&AgentSummary::Missing) != &summary;
        if summary == AgentSummary::Missing {
            self.0.remove(agent);
        } else if changed {
            self.0.insert(agent.clone(), summary);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_changes_when_the_agent_appears_changes_its_description_or_is_deleted() {
        let mut summaries = AgentSummaries::default();
        let key = NamespacedName::new("team", "researcher");
        let valid = |description: &str| AgentSummary::Valid(description.to_owned());
        for (summary, changed) in [
            (AgentSummary::Missing, false),
            (valid("Finds things."), true),
            (valid("Finds things."), false),
            (valid("Finds papers."), true),
            (AgentSummary::Missing, true),
            (AgentSummary::Missing, false),
        ] {
            assert_eq!(summaries.update(&key, summary.clone()), changed, "{summary:?}");
        }
    }
}

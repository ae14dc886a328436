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
    /// The Agent exists.
    Valid(ValidSummary),
}

/// What other Agents use of an Agent that can be decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidSummary {
    /// Its description.
    pub description: String,
    /// The WorkerPool that runs it; `None` if it has pods of its own.
    pub pool: Option<String>,
}

impl AgentSummary {
    /// The WorkerPool that runs the Agent.
    pub(crate) fn pool(&self) -> Option<&String> {
        match self {
            Self::Valid(agent) => agent.pool.as_ref(),
            Self::Missing | Self::Invalid(_) => None,
        }
    }

    /// The summary of an Agent from the watch.
    #[must_use]
    pub fn of(agent: Option<&GuardedAgent>) -> Self {
        match agent.map(|agent| &agent.0) {
            None => Self::Missing,
            Some(Err(invalid)) => Self::Invalid(invalid.to_string()),
            Some(Ok(agent)) => Self::Valid(ValidSummary {
                description: agent.spec.description.clone(),
                pool: agent.spec.pool().map(str::to_owned),
            }),
        }
    }
}

/// The last summary of each Agent.
#[derive(Debug, Default)]
pub(crate) struct AgentSummaries(HashMap<NamespacedName, AgentSummary>);

impl AgentSummaries {
    /// Stores the summary of an Agent. Returns the one before if it differs.
    pub(crate) fn update(&mut self, agent: &NamespacedName, summary: &AgentSummary) -> Option<AgentSummary> {
        if self.0.get(agent).unwrap_or(&AgentSummary::Missing) == summary {
            return None;
        }
        let before = if *summary == AgentSummary::Missing {
            self.0.remove(agent)
        } else {
            self.0.insert(agent.clone(), summary.clone())
        };
        Some(before.unwrap_or(AgentSummary::Missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_changes_when_the_agent_appears_changes_its_description_or_is_deleted() {
        let mut summaries = AgentSummaries::default();
        let key = NamespacedName::new("team", "researcher");
        let valid = |description: &str| {
            AgentSummary::Valid(ValidSummary {
                description: description.to_owned(),
                pool: None,
            })
        };
        for (summary, changed) in [
            (AgentSummary::Missing, false),
            (valid("Finds things."), true),
            (valid("Finds things."), false),
            (valid("Finds papers."), true),
            (AgentSummary::Missing, true),
            (AgentSummary::Missing, false),
        ] {
            assert_eq!(summaries.update(&key, &summary).is_some(), changed, "{summary:?}");
        }
    }
}

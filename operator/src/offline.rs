//! Turns the Agents of manifests into revisions, for running them without a
//! cluster. The stages are the operator's own; see [`crate::lint`] for the errors.

use steadfast_crds::{AgentRevisionSpec, manifests::Manifest};

use crate::lint::{self, Checked, Report};

pub use crate::stages::{Error, OfflineAgent, OfflinePool};

/// What the manifests are worth: what is wrong with them, and their Agents.
#[derive(Debug)]
pub struct Plan {
    /// What [`lint::lint`] finds.
    pub report: Report,
    /// Every Agent that can be decoded, in the order of the manifests.
    pub agents: Vec<OfflineAgent>,
    /// Every WorkerPool without errors.
    pub pools: Vec<OfflinePool>,
}

/// Checks the manifests, and builds the next revision of every Agent.
///
/// `newest` are the newest revisions so far. `namespace` is that of objects that have none.
pub async fn plan(
    manifests: &[Manifest],
    namespace: &str,
    install_id: &str,
    newest: &[AgentRevisionSpec],
) -> Result<Plan, Error> {
    let Checked { report, agents, pools } = lint::check(manifests, namespace, install_id, newest).await?;
    Ok(Plan { report, agents, pools })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use steadfast_crds::manifests::parse;

    use super::*;

    async fn planned(instructions: &str, newest: &[AgentRevisionSpec]) -> OfflineAgent {
        let text = format!(
            "apiVersion: steadfast.dev/v1alpha1\nkind: Agent\nmetadata: {{name: weather}}\nspec: {{instructions: \
             {instructions}, model: {{name: m, apiKeyEnvVar: ''}}}}\n"
        );
        let manifests = parse(Path::new("a.yaml"), &text).unwrap();
        let plan = plan(&manifests, "default", "dev", newest).await.unwrap();
        plan.agents.into_iter().next().unwrap()
    }

    #[tokio::test]
    async fn an_edit_makes_the_next_revision_and_no_edit_makes_none() {
        let first = planned("One.", &[]).await.revision.unwrap().spec;
        assert_eq!(
            (first.sequence, first.task_queue.as_str()),
            (1, "dev/default/agent/weather")
        );
        assert!(planned("One.", std::slice::from_ref(&first)).await.revision.is_none());
        let second = planned("Two.", &[first]).await.revision.unwrap().spec;
        assert_eq!((second.sequence, second.instructions.as_str()), (2, "Two."));
    }

    #[tokio::test]
    async fn an_agent_with_errors_has_no_new_revision() {
        let planned = planned("'{{ nope'", &[]).await;
        assert!(planned.revision.is_none() && !planned.errors.is_empty());
    }
}

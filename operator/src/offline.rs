//! Turns the Agents of manifests into revisions, for running them without a
//! cluster. The stages are the operator's own; see [`crate::lint`] for the errors.

use steadfast_crds::{Agent, AgentRevision, AgentRevisionSpec, manifests::Manifest};

use crate::{
    agents::{
        build::{RevisionPlan, build},
        dereference::{self, dereference},
        manifest_source::ManifestSource,
        validate::{self, validate},
    },
    hashing::keyed_hash::{EmptyKeyError, KeyedHash},
    kube::namespaced_name::NamespacedName,
    lint::{self, Report},
    settings::{ImagePullPolicy, Settings},
    validation::ValidationError,
};

/// Why no revisions can be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No hash can be made.
    #[error("hash the Secrets of the manifests")]
    Hash(#[from] EmptyKeyError),
    /// A revision cannot be encoded.
    #[error("encode a revision")]
    Encode(#[from] serde_json::Error),
    /// The objects that an Agent refers to cannot be read.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// An Agent cannot be validated.
    #[error(transparent)]
    Validate(#[from] validate::Error),
}

/// An Agent of the manifests.
#[derive(Debug)]
pub struct OfflineAgent {
    /// Namespace and name.
    pub key: NamespacedName,
    /// The Agent.
    pub agent: Agent,
    /// What is wrong with it; it has no new revision then.
    pub errors: Vec<ValidationError>,
    /// The next revision, if the content of the newest one differs.
    pub revision: Option<AgentRevision>,
}

/// What the manifests are worth: what is wrong with them, and their Agents.
#[derive(Debug)]
pub struct Plan {
    /// What [`lint::lint`] finds.
    pub report: Report,
    /// Every Agent that can be decoded, in the order of the manifests.
    pub agents: Vec<OfflineAgent>,
}

impl OfflineAgent {
    /// An Agent that the API server would refuse.
    pub(crate) fn refused(mut agent: Agent, namespace: &str) -> Self {
        agent.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
        Self {
            key: NamespacedName::of(&agent),
            agent,
            errors: Vec::new(),
            revision: None,
        }
    }
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
    let (report, agents) = lint::check(manifests, namespace, install_id, newest).await?;
    Ok(Plan { report, agents })
}

/// Takes one Agent through the stages, as the reconcile does.
pub(crate) async fn plan_agent(
    mut agent: Agent,
    source: &ManifestSource,
    namespace: &str,
    settings: &Settings,
    hash: &KeyedHash,
) -> Result<OfflineAgent, Error> {
    agent.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    let dereferenced = dereference(source, &agent, settings).await?;
    let validated = validate(&agent, &dereferenced, settings, hash)?;
    let desired = build(&validated, &dereferenced.history, settings);
    Ok(OfflineAgent {
        key: NamespacedName::of(&agent),
        agent,
        errors: validated.errors,
        revision: match desired.revision {
            RevisionPlan::Create { revision, .. } => Some(*revision),
            RevisionPlan::Keep { .. } => None,
        },
    })
}

/// Settings of a cluster do not matter here.
pub(crate) fn settings(install_id: &str) -> Settings {
    Settings {
        install_id: install_id.to_owned(),
        worker_image: "steadfast/worker".to_owned(),
        image_pull_policy: ImagePullPolicy::IfNotPresent,
        worker_env: Vec::new(),
        worker_secret_env: Vec::new(),
        worker_encryption: None,
    }
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

//! Checks manifests without a cluster: what the API server would refuse, and the
//! conditions that the operator would set. The stages are the operator's own.
//!
//! The manifests together are the cluster: an Agent may refer to what they
//! contain. Whatever runs in a cluster only (images, schedules in Temporal,
//! workers) is not checked.

mod admission;

use std::collections::BTreeSet;

use steadfast_contract::tool_targets::NamespaceQueues;
use steadfast_crds::{
    Agent, AgentReferenceGrant, AgentRevisionSpec, AgentTool, WorkerPool,
    conditions::{ConditionType, Reason},
    manifests::{Manifest, ManifestError, Origin},
};

use self::admission::Admission;
use crate::{
    agents::{manifest_source::ManifestSource, revision_history::RevisionHistory},
    hashing::keyed_hash::KeyedHash,
    kube::namespaced_name::NamespacedName,
    settings::Settings,
    stages::{self, Error, OfflineAgent, OfflinePool},
    tools,
    validation::ValidationError,
};

/// Nobody knows the install id here; most installs have this one.
const INSTALL: &str = "steadfast";

/// How serious a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The object would be refused, or would not become ready.
    Error,
    /// The object would not become ready unless something exists that manifests rarely contain: a Secret with its values,
    /// a grant in another namespace, or a setting of the operator.
    Warning,
}

/// One thing that is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it is wrong.
    pub origin: Origin,
    /// How serious it is.
    pub severity: Severity,
    /// The kind of the object.
    pub kind: String,
    /// Namespace and name of the object.
    pub object: NamespacedName,
    /// The condition that the operator would set to false; absent for what the API server would refuse.
    pub condition: Option<ConditionType>,
    /// The reason of the condition, or of the API server: `Invalid`, `UnknownField`.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The result of a check.
#[derive(Debug, Default)]
pub struct Report {
    /// How many Agents, AgentTools, WorkerPools and AgentReferenceGrants were checked.
    pub checked: usize,
    /// What is wrong, in the order of the manifests.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks all Agents, AgentTools, WorkerPools and AgentReferenceGrants of the manifests; `namespace` is that of objects
/// that have none.
pub async fn lint(manifests: &[Manifest], namespace: &str) -> Result<Report, Error> {
    Ok(check(manifests, namespace, INSTALL, &[]).await?.report)
}

/// The result of a check, with what can be run.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) report: Report,
    /// Every Agent that can be decoded.
    pub(crate) agents: Vec<OfflineAgent>,
    /// Every WorkerPool without errors.
    pub(crate) pools: Vec<OfflinePool>,
}

/// Checks all objects, and takes each Agent that is admitted through the stages once. `newest` are the newest
/// revisions so far.
pub(crate) async fn check(
    manifests: &[Manifest],
    namespace: &str,
    install_id: &str,
    newest: &[AgentRevisionSpec],
) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let report = &mut checked.report;
    let hash = KeyedHash::new(b"offline")?;
    let settings = stages::settings(install_id);
    let admission = Admission::new();
    let mut source = ManifestSource::default();
    for manifest in manifests {
        if let Err(error) = source.insert(manifest, namespace, &hash) {
            let refused = Refused::invalid("", cause(&error));
            report.diagnostics.push(refused.of(manifest, namespace));
        }
    }
    for spec in newest {
        let key = NamespacedName::new(namespace, &spec.agent);
        source.set_history(key, RevisionHistory::of_newest(spec)?);
    }
    let mut seen = BTreeSet::new();
    for manifest in manifests {
        let Some(kind) = Kind::of(manifest) else { continue };
        report.checked += 1;
        let mut refused = admission.check(manifest);
        if !seen.insert((kind, name_of(manifest, namespace))) {
            refused.push(Refused::invalid(
                "/metadata/name",
                "an object of this kind and name stands above already",
            ));
        }
        if !refused.is_empty() {
            // What the API server refuses never has a condition.
            let refused = refused.into_iter().map(|refused| refused.of(manifest, namespace));
            report.diagnostics.extend(refused);
            if kind == Kind::Agent
                && let Ok(agent) = manifest.decode()
            {
                checked.agents.push(OfflineAgent::refused(agent, namespace));
            }
            continue;
        }
        let errors = match kind {
            Kind::Agent => match manifest.decode() {
                Ok(agent) => {
                    let planned = stages::plan_agent(agent, &source, namespace, &settings, &hash).await?;
                    let errors = planned.errors.clone();
                    checked.agents.push(planned);
                    errors
                }
                Err(error) => vec![malformed(&error)],
            },
            Kind::Tool => check_tool(manifest, namespace, &settings),
            Kind::Grant => match manifest.decode::<AgentReferenceGrant>() {
                Ok(_) => vec![],
                Err(error) => vec![malformed(&error)],
            },
            Kind::Pool => match manifest.decode() {
                Ok(pool) => {
                    let (pool, errors) = stages::check_pool(pool, &source, namespace, &settings, &hash).await?;
                    checked.pools.extend(errors.is_empty().then_some(pool));
                    errors
                }
                Err(error) => vec![malformed(&error)],
            },
        };
        let errors = errors.into_iter().map(|error| unmet(manifest, namespace, error));
        report.diagnostics.extend(errors);
    }
    Ok(checked)
}

/// The kinds that are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Agent,
    Tool,
    Pool,
    Grant,
}

impl Kind {
    fn of(manifest: &Manifest) -> Option<Self> {
        if manifest.is::<Agent>() {
            Some(Self::Agent)
        } else if manifest.is::<AgentTool>() {
            Some(Self::Tool)
        } else {
            let pool = manifest.is::<WorkerPool>().then_some(Self::Pool);
            pool.or_else(|| manifest.is::<AgentReferenceGrant>().then_some(Self::Grant))
        }
    }
}

fn check_tool(manifest: &Manifest, namespace: &str, settings: &Settings) -> Vec<ValidationError> {
    match manifest.decode::<AgentTool>() {
        Ok(tool) => {
            let namespace = tool.metadata.namespace.as_deref().unwrap_or(namespace);
            let queues = NamespaceQueues::new(&settings.install_id, namespace);
            tools::validate::check(&tool.spec, &queues).err().into_iter().collect()
        }
        Err(error) => vec![malformed(&error)],
    }
}

fn malformed(error: &ManifestError) -> ValidationError {
    ValidationError::not_accepted(Reason::Malformed, cause(error))
}

/// The cause without the place, which a diagnostic has anyway.
fn cause(error: &ManifestError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// What the API server refuses.
struct Refused {
    /// JSON Pointer of the value.
    pointer: String,
    reason: &'static str,
    message: String,
}

impl Refused {
    fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            reason: "Invalid",
            message: message.into(),
        }
    }

    fn of(self, manifest: &Manifest, namespace: &str) -> Diagnostic {
        Diagnostic {
            origin: manifest.origin_of(&self.pointer),
            severity: Severity::Error,
            kind: manifest.kind().to_owned(),
            object: name_of(manifest, namespace),
            condition: None,
            reason: self.reason,
            message: self.message,
        }
    }
}

fn unmet(manifest: &Manifest, namespace: &str, error: ValidationError) -> Diagnostic {
    let severity = match error.reason {
        Reason::SecretNotFound
        | Reason::SecretKeyNotFound
        | Reason::SecretValueUnusable
        | Reason::RefNotPermitted
        | Reason::ServiceAccountNotAllowed => Severity::Warning,
        _ => Severity::Error,
    };
    Diagnostic {
        origin: manifest.origin.clone(),
        severity,
        kind: manifest.kind().to_owned(),
        object: name_of(manifest, namespace),
        condition: Some(error.condition),
        reason: error.reason.as_str(),
        message: error.message,
    }
}

fn name_of(manifest: &Manifest, namespace: &str) -> NamespacedName {
    let metadata = &manifest.object["metadata"];
    let own = metadata["namespace"].as_str().filter(|own| !own.is_empty());
    NamespacedName::new(own.unwrap_or(namespace), metadata["name"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests;

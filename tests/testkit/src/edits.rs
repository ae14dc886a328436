//! What an edit of each field of each resource does: one row for each leaf of the
//! schemas. The page `docs/edits.md` and the tests of the operator are made from it.
//!
//! A new field needs two lines: a value in `edits/objects.yaml`, and a row beside the
//! others of its kind.

mod agents;
mod expected;
mod grants;
mod path;
mod pools;
mod tools;

pub use expected::Part;

use serde_json::{Value, json};

/// The objects that are edited, with all that they refer to, as YAML. The edit of a field is made in the first object of
/// its kind that has the field.
pub const OBJECTS: &str = include_str!("edits/objects.yaml");

/// What an edit does. Nothing else is changed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// A new AgentRevision: of the Agent, of each Agent that lists the tool, or of each Agent on the pool that uses it.
    Revision,
    /// As `Revision`, and of each Agent that refers to this Agent and has no words of its own for it.
    RevisionOfReferrersToo,
    /// The worker pods are replaced.
    Pods,
    /// Both a new AgentRevision and new pods.
    RevisionAndPods,
    /// Pods are added or removed, and none is replaced.
    Replicas,
    /// How many pods there are when the operator next asks Temporal what waits. None is replaced.
    Scaling,
    /// The schedule in Temporal.
    Schedule,
    /// The Agent and its running tasks move to other workers, and each Agent that refers to it learns of it.
    Move,
    /// What becomes of the tasks when the Agent is deleted.
    Deletion,
    /// Whether references to another namespace are permitted, and so the revisions of the Agents that have them.
    Permission,
    /// The API server refuses it with this message.
    Refused(&'static str),
}

impl Effect {
    /// The effect for people who read the page.
    #[must_use]
    pub fn sentence(self) -> String {
        let text = match self {
            Self::Revision => "new revision",
            Self::RevisionOfReferrersToo => {
                "new revision, also of each Agent that refers to this one without a `description` of its own"
            }
            Self::Pods => "new pods",
            Self::RevisionAndPods => "new revision and new pods",
            Self::Replicas => "more or fewer pods",
            Self::Scaling => "more or fewer pods, when the operator next asks Temporal what waits",
            Self::Schedule => "schedule",
            Self::Move => "a move to other workers",
            Self::Deletion => "at the deletion",
            Self::Permission => "which references are permitted",
            Self::Refused(message) => return format!("refused: {message}"),
        };
        text.to_owned()
    }
}

/// The edit of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// For example `Agent`.
    pub kind: &'static str,
    /// The field, as `steadfast_crds::fields::spec_fields` names it.
    pub field: &'static str,
    /// The fields that change, with their new values; null removes one. More than one where a rule connects them.
    pub changes: Vec<(&'static str, Value)>,
    /// What it does.
    pub effect: Effect,
    /// The test that makes the edit, where the objects here are not enough for it.
    pub proof: Option<Proof>,
}

/// A test that makes an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Its file.
    pub file: &'static str,
    /// Its name.
    pub test: &'static str,
}

impl Edit {
    fn new(kind: &'static str, field: &'static str, value: Value, effect: Effect) -> Self {
        let changes = vec![(field, value)];
        Self {
            kind,
            field,
            changes,
            effect,
            proof: None,
        }
    }

    /// Whether the edit is made in the objects here.
    #[must_use]
    pub const fn is_made_here(&self) -> bool {
        self.proof.is_none()
    }

    /// Also changes another field.
    fn and(mut self, path: &'static str, value: Value) -> Self {
        self.changes.push((path, value));
        self
    }

    /// Whether an object is one in which this edit can be made.
    #[must_use]
    pub fn fits(&self, object: &Value) -> bool {
        object["kind"] == self.kind && path::find(object, self.field).is_some()
    }

    /// The object after the edit; `None` if it does not have the fields.
    #[must_use]
    pub fn applied(&self, object: &Value) -> Option<Value> {
        let mut edited = object.clone();
        for (path, value) in &self.changes {
            path::set(&mut edited, path, value.clone())?;
        }
        Some(edited)
    }
}

/// The edits of the fields of all kinds.
#[must_use]
pub fn all() -> Vec<Edit> {
    [agents::edits(), tools::edits(), pools::edits(), grants::edits()]
        .into_iter()
        .flatten()
        .collect()
}

/// The edits of workers and of their credentials, which Agents and WorkerPools have alike.
fn workers(kind: &'static str) -> Vec<Edit> {
    let pods = same(
        kind,
        Effect::Pods,
        [
            ("spec.worker.image", json!("worker:2")),
            (
                "spec.worker.podTemplate",
                json!({"metadata": {"labels": {"team": "b"}}}),
            ),
            ("spec.worker.drainTimeout", json!("3m")),
            ("spec.worker.rollout", json!("Pinned")),
            ("spec.worker.resources.limits{}", json!("256Mi")),
            ("spec.worker.resources.requests{}", json!("100m")),
            ("spec.credentials[].secretName", json!("spare")),
            ("spec.credentials[].secretKey", json!("other")),
        ],
    );
    let others = [
        Edit::new(
            kind,
            "spec.credentials[].hosts[]",
            json!("*.openai.com"),
            Effect::Revision,
        ),
        Edit::new(kind, "spec.worker.replicas", json!(3), Effect::Replicas),
    ];
    let scaling = same(
        kind,
        Effect::Scaling,
        [
            ("spec.worker.autoscaling.minReplicas", json!(1)),
            ("spec.worker.autoscaling.maxReplicas", json!(5)),
            ("spec.worker.autoscaling.targetQueueSize", json!(10)),
            ("spec.worker.autoscaling.cooldownPeriod", json!("10m")),
        ],
    );
    pods.into_iter().chain(others).chain(scaling).collect()
}

/// Edits with the same effect.
fn same<const N: usize>(kind: &'static str, effect: Effect, fields: [(&'static str, Value); N]) -> Vec<Edit> {
    let edits = fields
        .into_iter()
        .map(|(field, value)| Edit::new(kind, field, value, effect));
    edits.collect()
}

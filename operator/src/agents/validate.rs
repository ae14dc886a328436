//! Turns an Agent and the objects that it refers to into a validated value, or
//! into errors. Pure. No later stage sees the Agent itself.

mod behavior;
pub(crate) mod credentials;
pub(crate) mod pod_template;
mod pool;
mod references;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use steadfast_contract::tool_targets::NamespaceQueues;
use steadfast_crds::{
    Agent, AgentRevisionSpec, Duration,
    agent::{Credential, Schedule},
    agent_revision::MAXIMUM_REVISION_BYTES,
    conditions::{ConditionType, Reason},
    worker::{Rollout, WorkerResources, WorkerSettings},
};

use self::{credentials::Provided, references::References};
use crate::{
    agents::{
        dereference::{Dereferenced, Instructions},
        identity::AgentIdentity,
        revision_history::digest_content,
    },
    hashing::keyed_hash::KeyedHash,
    settings::Settings,
    validation::{ValidationError, check_depth, templates::check_template},
    versions::build_id::build_id,
};

/// Why an Agent could not be validated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision cannot be encoded.
    #[error("encode the revision")]
    Encode(#[from] serde_json::Error),
}

/// Everything that the later stages know of an Agent.
#[derive(Debug)]
pub struct ValidatedAgent {
    /// Name, namespace, uid and generation.
    pub identity: AgentIdentity,
    /// The errors; empty for a valid Agent.
    pub errors: Vec<ValidationError>,
    /// The number of tools in the spec.
    pub tools: usize,
    /// The schedules of the spec.
    pub schedules: Vec<Schedule>,
    /// The content of the revision; `None` if the Agent or an object that it refers to has errors.
    pub revision: Option<RevisionContent>,
    /// The workers of its own; `None` if there is any error, and for an Agent on a WorkerPool.
    pub workers: Option<Workers>,
}

/// The content of a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionContent {
    /// The spec; its sequence number is 0.
    pub spec: AgentRevisionSpec,
    /// Digest of the spec.
    pub digest: String,
}

/// The workers of an Agent or of a WorkerPool.
#[derive(Clone, Debug, PartialEq)]
pub struct Workers {
    /// Container image.
    pub image: String,
    /// Build id of the image, where tasks are pinned to it.
    pub build_id: Option<String>,
    /// Number of pods; `None` where an autoscaler sets it.
    pub replicas: Option<i32>,
    /// Requests and limits of the spec.
    pub resources: Option<WorkerResources>,
    /// The user's part of the pod template, to be merged over the operator's.
    pub overlay: Option<PodTemplateSpec>,
    /// How long a pod may finish its work before it exits.
    pub drain_timeout: Duration,
    /// Secret values in the environment.
    pub credentials: Vec<Credential>,
    /// Keyed hash of every secret value in the environment.
    pub credentials_hash: String,
}

impl Workers {
    /// The workers of these settings.
    pub(crate) fn new(
        worker: &WorkerSettings,
        overlay: Option<PodTemplateSpec>,
        credentials: &[Credential],
        credentials_hash: String,
        settings: &Settings,
    ) -> Self {
        let image = worker.image.clone().unwrap_or_else(|| settings.worker_image.clone());
        Self {
            build_id: (worker.rollout == Some(Rollout::Pinned)).then(|| build_id(&image)),
            image,
            replicas: worker.replicas.filter(|_| worker.autoscaling.is_none()),
            resources: worker.resources.clone(),
            overlay,
            drain_timeout: worker.drain_timeout,
            credentials: credentials.to_vec(),
            credentials_hash,
        }
    }
}

/// The time that a worker needs after its drain to release its tasks and exit, in seconds.
const SHUTDOWN_SECONDS: i64 = 10;

/// How long Kubernetes waits for a worker that it ends.
pub(crate) fn grace_period_seconds(drain_timeout: Duration) -> i64 {
    i64::try_from(drain_timeout.whole_seconds())
        .unwrap_or(i64::MAX)
        .saturating_add(SHUTDOWN_SECONDS)
}

/// Validates an Agent.
pub fn validate(
    agent: &Agent,
    dereferenced: &Dereferenced,
    settings: &Settings,
    hash: &KeyedHash,
) -> Result<ValidatedAgent, Error> {
    let identity = AgentIdentity::of(agent);
    let mut errors = Vec::new();
    errors.extend(check_depth(&agent.spec)?);
    let instructions = check_instructions(agent, dereferenced, &mut errors);
    let resolved = references::check(agent, &identity.key, dereferenced, settings, &mut errors);
    let queues = NamespaceQueues::new(&settings.install_id, &identity.key.namespace);
    behavior::check(agent, &queues, &mut errors);
    let own = Provided::by_agent(&agent.spec.credentials);
    let provided = match &dereferenced.pool {
        None => Some(own),
        Some(pool) => pool::check(agent, pool, &mut errors),
    };
    // Without the pool nobody knows what it provides.
    let used = provided.map_or_else(Vec::new, |provided| {
        credentials::check_variables(agent, &resolved.tools, &provided, &mut errors)
    });
    credentials::check_names(&agent.spec.credentials, &mut errors);
    let overlay = pod_template::check(&agent.spec.worker, &agent.spec.credentials, settings, &mut errors);
    let has_own_workers = dereferenced.pool.is_none();
    let hashes = if has_own_workers {
        let (namespace, own) = (&identity.key.namespace, &agent.spec.credentials);
        credentials::check_secrets(own, namespace, &dereferenced.secrets, settings, &mut errors)
    } else {
        BTreeMap::new()
    };

    let task_queue = identity.home_task_queue(&settings.install_id);
    let content = AgentRevisionSpec {
        task_queue,
        credentials: used,
        ..content(agent, &identity, instructions.unwrap_or_default(), resolved)
    };
    check_size(&content, &mut errors)?;

    let of_content = |error: &ValidationError| {
        error.condition != ConditionType::CredentialsResolved
            || matches!(error.reason, Reason::EnvVarNotProvided | Reason::HostsRequired)
    };
    let revision = if errors.iter().any(of_content) {
        None
    } else {
        Some(RevisionContent {
            digest: digest_content(&content)?,
            spec: content,
        })
    };
    let workers = (has_own_workers && errors.is_empty()).then(|| {
        let (spec, hash) = (&agent.spec, hash.digest_all(&hashes));
        Workers::new(&spec.worker, overlay, &spec.credentials, hash, settings)
    });
    Ok(ValidatedAgent {
        identity,
        errors,
        tools: agent.spec.tools.len(),
        schedules: agent.spec.schedules.clone(),
        revision,
        workers,
    })
}

/// The content of the revision, without its task queue and its credentials.
fn content(agent: &Agent, identity: &AgentIdentity, instructions: String, resolved: References) -> AgentRevisionSpec {
    let spec = &agent.spec;
    let References {
        tools,
        agents,
        handoffs,
        judges,
    } = resolved;
    AgentRevisionSpec {
        agent: identity.key.name.clone(),
        sequence: 0,
        description: spec.description.clone(),
        instructions,
        model: spec.model.clone(),
        tools,
        agents,
        handoffs,
        tool_use: spec.tool_use.clone(),
        output: spec.output.clone(),
        guardrails: spec.guardrails.clone(),
        judges,
        hooks: spec.hooks.clone(),
        stream: spec.stream.clone(),
        limits: spec.limits.clone(),
        context: spec.context.clone(),
        retention: spec.retention.clone(),
        welcome: spec.welcome.clone(),
        task_queue: String::new(),
        credentials: Vec::new(),
    }
}

fn check_instructions(agent: &Agent, dereferenced: &Dereferenced, errors: &mut Vec<ValidationError>) -> Option<String> {
    let source = agent
        .spec
        .instructions_from
        .as_ref()
        .map(|from| &from.config_map_key_ref);
    let (map, key) = source.map_or(("", ""), |source| (source.name.as_str(), source.key.as_str()));
    let (reason, message) = match &dereferenced.instructions {
        Instructions::Text(text) => match check_template("instructions", text) {
            Ok(()) => return Some(text.clone()),
            Err(error) => {
                errors.push(error);
                return None;
            }
        },
        Instructions::ConfigMapNotFound => (
            Reason::ConfigMapNotFound,
            format!("ConfigMap \"{map}\" of the instructions does not exist"),
        ),
        Instructions::ConfigMapKeyNotFound => (
            Reason::ConfigMapKeyNotFound,
            format!("ConfigMap \"{map}\" of the instructions has no key \"{key}\""),
        ),
    };
    errors.push(ValidationError::new(ConditionType::ReferencesResolved, reason, message));
    None
}

fn check_size(content: &AgentRevisionSpec, errors: &mut Vec<ValidationError>) -> Result<(), serde_json::Error> {
    let bytes = serde_json::to_vec(content)?.len();
    if bytes > MAXIMUM_REVISION_BYTES {
        let message = format!(
            "instructions and tools together are {bytes} bytes: shorten them to at most {MAXIMUM_REVISION_BYTES}"
        );
        errors.push(ValidationError::not_accepted(Reason::RevisionTooLarge, message));
    }
    Ok(())
}

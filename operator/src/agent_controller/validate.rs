//! Turns an Agent and what it refers to into what will be built, or into the
//! problems that stand in the way. Pure; after this step nobody reads the raw
//! spec of what is built.

mod behavior;
mod credentials;
mod references;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{EnvVar, PodTemplateSpec, ResourceRequirements},
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use kube::ResourceExt as _;
use serde_json::Value;
use steadfast_crds::{
    Agent, AgentRevisionSpec, Duration,
    agent_revision::MAXIMUM_REVISION_BYTES,
    conditions::{ConditionType, Reason},
    names::agent_task_queue,
    worker::WorkerResources,
};

use self::references::References;
use crate::{
    agent_controller::{
        build::deployment::WORKER_CONTAINER,
        dereference::{Found, Instructions, digest_content},
    },
    conditions::Problem,
    keyed_hash::KeyedHash,
    settings::Settings,
    tool_rules,
};

/// Why an Agent could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision cannot be put into words.
    #[error("encode the revision")]
    Encode(#[from] serde_json::Error),
}

/// What holds for an Agent.
#[derive(Debug)]
pub struct Validated {
    /// What stands in the way.
    pub problems: Vec<Problem>,
    /// The content of its revision; none while the Agent or a reference is unusable.
    pub revision: Option<RevisionContent>,
    /// Its workers; none while any problem stands.
    pub workers: Option<Workers>,
}

/// What a revision will say, but for its number.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionContent {
    /// Everything; the sequence is 0.
    pub spec: AgentRevisionSpec,
    /// Digest of it.
    pub digest: String,
}

/// What an Agent's pods are made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Workers {
    /// Container image.
    pub image: String,
    /// When nodes pull it.
    pub image_pull_policy: &'static str,
    /// Number of pods.
    pub replicas: i32,
    /// Requests and limits.
    pub resources: ResourceRequirements,
    /// What the user lays over the template.
    pub overlay: Option<PodTemplateSpec>,
    /// How long a leaving pod may go on.
    pub drain_timeout: Duration,
    /// Environment, credentials included, in the order it is written.
    pub environment: Vec<EnvVar>,
    /// Keyed hash of every secret value among it.
    pub credentials_hash: String,
}

/// Looks at all of it.
pub fn validate(agent: &Agent, found: &Found, settings: &Settings, hash: &KeyedHash) -> Result<Validated, Error> {
    let mut problems = Vec::new();
    let instructions = check_instructions(agent, found, &mut problems);
    let resolved = references::check(agent, found, settings, &mut problems);
    behavior::check(agent, &mut problems);
    credentials::check_variables(agent, &resolved.tools, &mut problems);
    let overlay = check_overlay(agent, &mut problems);
    let digests = credentials::check_secrets(agent, found, settings, &mut problems);

    let content = content(agent, instructions.unwrap_or_default(), resolved, settings);
    check_size(&content, &mut problems)?;

    let about_content =
        |p: &Problem| p.condition != ConditionType::CredentialsResolved || p.reason == Reason::EnvVarNotProvided;
    let revision = if problems.iter().any(about_content) {
        None
    } else {
        Some(RevisionContent {
            digest: digest_content(&content)?,
            spec: content,
        })
    };
    let workers = problems.is_empty().then(|| Workers {
        image: agent
            .spec
            .worker
            .image
            .clone()
            .unwrap_or_else(|| settings.worker_image.clone()),
        image_pull_policy: settings.image_pull_policy.as_str(),
        replicas: agent.spec.worker.replicas,
        resources: resources(agent.spec.worker.resources.as_ref()),
        overlay,
        drain_timeout: agent.spec.worker.drain_timeout,
        environment: credentials::environment(agent, settings),
        credentials_hash: hash.digest_all(&digests),
    });
    Ok(Validated {
        problems,
        revision,
        workers,
    })
}

fn content(agent: &Agent, instructions: String, resolved: References, settings: &Settings) -> AgentRevisionSpec {
    let spec = &agent.spec;
    let References {
        tools,
        agents,
        handoffs,
        judges,
    } = resolved;
    AgentRevisionSpec {
        agent: agent.name_any(),
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
        welcome: spec.welcome.clone(),
        task_queue: task_queue(agent, settings),
        credentials: credentials::names_and_hosts(agent),
    }
}

/// The Temporal task queue of an Agent's workers.
#[must_use]
pub fn task_queue(agent: &Agent, settings: &Settings) -> String {
    agent_task_queue(
        &settings.install_id,
        &agent.namespace().unwrap_or_default(),
        &agent.name_any(),
    )
}

fn check_instructions(agent: &Agent, found: &Found, problems: &mut Vec<Problem>) -> Option<String> {
    let source = agent
        .spec
        .instructions_from
        .as_ref()
        .map(|from| &from.config_map_key_ref);
    let (map, key) = source.map_or(("", ""), |source| (source.name.as_str(), source.key.as_str()));
    let (reason, message) = match &found.instructions {
        Instructions::Text(text) => match tool_rules::check_template("instructions", text) {
            Ok(()) => return Some(text.clone()),
            Err(defect) => {
                problems.push(Problem::new(ConditionType::Accepted, defect.reason, defect.message));
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
    problems.push(Problem::new(ConditionType::ReferencesResolved, reason, message));
    None
}

fn check_overlay(agent: &Agent, problems: &mut Vec<Problem>) -> Option<PodTemplateSpec> {
    let template = &agent.spec.worker.pod_template;
    if template.is_empty() {
        return None;
    }
    let mut refuse = |message: String| {
        problems.push(Problem::new(
            ConditionType::Accepted,
            Reason::InvalidPodTemplate,
            message,
        ));
        None
    };
    let overlay: PodTemplateSpec = match serde_json::from_value(Value::Object(template.clone())) {
        Ok(overlay) => overlay,
        Err(error) => return refuse(format!("worker.podTemplate is not a pod template: {error}")),
    };
    let unnamed = overlay
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .any(|c| c.name.is_empty());
    if unnamed {
        return refuse(format!(
            "worker.podTemplate has a container without a name; the worker's is \"{WORKER_CONTAINER}\""
        ));
    }
    Some(overlay)
}

fn check_size(content: &AgentRevisionSpec, problems: &mut Vec<Problem>) -> Result<(), serde_json::Error> {
    let bytes = serde_json::to_vec(content)?.len();
    if bytes > MAXIMUM_REVISION_BYTES {
        let message =
            format!("instructions and tools together are {bytes} bytes; the limit is {MAXIMUM_REVISION_BYTES}");
        problems.push(Problem::new(ConditionType::Accepted, Reason::RevisionTooLarge, message));
    }
    Ok(())
}

fn resources(given: Option<&WorkerResources>) -> ResourceRequirements {
    let quantity = |text: &str| Quantity(text.to_owned());
    match given {
        None => ResourceRequirements {
            requests: Some(BTreeMap::from([
                ("cpu".to_owned(), quantity("10m")),
                ("memory".to_owned(), quantity("32Mi")),
            ])),
            ..ResourceRequirements::default()
        },
        Some(given) => ResourceRequirements {
            requests: quantities(&given.requests),
            limits: quantities(&given.limits),
            ..ResourceRequirements::default()
        },
    }
}

fn quantities(given: &BTreeMap<String, IntOrString>) -> Option<BTreeMap<String, Quantity>> {
    let text = |value: &IntOrString| match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    (!given.is_empty()).then(|| {
        given
            .iter()
            .map(|(name, value)| (name.clone(), Quantity(text(value))))
            .collect()
    })
}

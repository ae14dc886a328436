//! `manifest.yaml` of Agentex: how a Python program is built and deployed. The
//! prompt, the model and the tools are in the program; what the manifest says of
//! the agent becomes an Agent to complete by hand.
//!
//! The fields are those of `agentex.config.AgentManifest` in
//! <https://github.com/scaleapi/scale-agentex-python>. Pure.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;
use steadfast_crds::{AgentSpec, Quantity, agent::Credential, model::ModelApi, worker::WorkerResources, yaml};

use super::{
    Imported,
    manifest::{self, Metadata},
    report::Document,
    source::Source,
};

const PROGRAM: &str = "it is for the Python program, which Steadfast does not run; `steadfast dev` and the operator \
                       start workers themselves";
/// The model of an agent whose manifest names none.
const ASSUMED_MODEL: &str = "gpt-5-mini";
const ASSUMED_SECRET: (&str, &str) = ("openai-secret", "api-key");

/// A variable that names the key of a provider, with the provider's compatible API.
const PROVIDERS: [(&str, ModelApi, Option<&str>, &str); 6] = [
    ("OPENAI_API_KEY", ModelApi::Responses, None, ASSUMED_MODEL),
    (
        "ANTHROPIC_API_KEY",
        ModelApi::ChatCompletions,
        Some("https://api.anthropic.com/v1"),
        "claude-sonnet-4-5",
    ),
    (
        "GEMINI_API_KEY",
        ModelApi::ChatCompletions,
        Some("https://generativelanguage.googleapis.com/v1beta/openai"),
        "gemini-2.5-flash",
    ),
    (
        "GOOGLE_API_KEY",
        ModelApi::ChatCompletions,
        Some("https://generativelanguage.googleapis.com/v1beta/openai"),
        "gemini-2.5-flash",
    ),
    (
        "LITELLM_API_KEY",
        ModelApi::ChatCompletions,
        Some("http://litellm:4000/v1"),
        ASSUMED_MODEL,
    ),
    (
        "OPENROUTER_API_KEY",
        ModelApi::ChatCompletions,
        Some("https://openrouter.ai/api/v1"),
        ASSUMED_MODEL,
    ),
];

/// Reads one manifest.
pub(super) fn import(file: &Path, text: &str) -> anyhow::Result<Imported> {
    let value: Value = yaml::from_str(text).with_context(|| format!("{}: not YAML", file.display()))?;
    if value["agent"]["name"].as_str().is_none() {
        bail!(
            "{}: no agent.name: is this the manifest.yaml of an Agentex agent?",
            file.display()
        );
    }
    let mut source = Source::new(value);
    let mut notes = Vec::new();
    let source_name = source.take_text("/agent/name", "metadata.name").unwrap_or_default();
    let metadata = Metadata {
        name: manifest::agent_name(&source_name),
        ..Metadata::default()
    };
    if metadata.name != source_name {
        notes.push(format!("the name {source_name} is {} here", metadata.name));
    }
    let mut spec = manifest::default_agent()?;
    spec.description = source
        .take_text("/agent/description", "spec.description")
        .unwrap_or_default();
    spec.instructions = Some(instructions(&metadata.name, &spec.description));
    notes.push(program_note(&source));
    credentials(&mut source, &mut spec);
    model(&mut source, &mut spec, &mut notes);
    agent_kind(&mut source);
    deployment(&mut source, &mut spec);
    leave_the_program(&mut source);
    let manifest = manifest::agent(&metadata, &spec)?;
    let place = file.display().to_string();
    let document = Document::new((&place, 1), "manifest", &source_name, source, notes);
    Ok(Imported {
        manifests: vec![manifest],
        documents: vec![document],
    })
}

/// The manifest does not hold the instructions.
fn instructions(name: &str, description: &str) -> String {
    let description = manifest::literal_template(description);
    format!("You are {name}. {description}").trim_end().to_owned()
}

fn program_note(source: &Source) -> String {
    let program = source
        .peek("/local_development/paths/worker")
        .or_else(|| source.peek("/local_development/paths/acp"))
        .and_then(Value::as_str)
        .unwrap_or("the Python program");
    format!(
        "instructions, model settings, tools, handoffs and guardrails are in {program} and what it imports: write them \
         into the Agent; an activity stays as it is, and an AgentTool of kind activity names it and its task queue"
    )
}

fn credentials(source: &mut Source, spec: &mut AgentSpec) {
    for index in 0..source.length("/agent/credentials") {
        let at = format!("/agent/credentials/{index}");
        let variable = source
            .peek(&format!("{at}/env_var_name"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        if matches!(variable, "REDIS_URL" | "DATABASE_URL" | "TEMPORAL_ADDRESS") {
            source.leave(&at, "workers get their connections from the installation");
            continue;
        }
        let mut read = |member: &str, target: &str| {
            let target = format!("spec.credentials[].{target}");
            source.take_text(&format!("{at}/{member}"), &target)
        };
        let read = (
            read("env_var_name", "envVarName"),
            read("secret_name", "secretName"),
            read("secret_key", "secretKey"),
        );
        if let (Some(env_var_name), Some(secret_name), Some(secret_key)) = read {
            spec.credentials.push(Credential {
                env_var_name,
                secret_name,
                secret_key,
                hosts: Vec::new(),
            });
        }
    }
}

/// The model by the credentials; the manifest does not name it.
fn model(source: &mut Source, spec: &mut AgentSpec, notes: &mut Vec<String>) {
    let has = |spec: &AgentSpec, variable: &str| spec.credentials.iter().any(|known| known.env_var_name == variable);
    let known = PROVIDERS.iter().find(|(variable, ..)| has(spec, variable));
    let (variable, api, base_url, name) = known.unwrap_or(&PROVIDERS[0]);
    spec.model.name = (*name).to_owned();
    spec.model.api = *api;
    spec.model.api_key_env_var = (*variable).to_owned();
    if let Some(base_url) = base_url {
        spec.model.base_url = (*base_url).to_owned();
    }
    notes.push(format!("the manifest names no model; {name} is assumed"));
    if known.is_none() {
        let (secret_name, secret_key) = ASSUMED_SECRET;
        spec.credentials.push(Credential {
            env_var_name: (*variable).to_owned(),
            secret_name: secret_name.to_owned(),
            secret_key: secret_key.to_owned(),
            hosts: Vec::new(),
        });
        notes.push(format!(
            "no credential is the key of a model; key {secret_key} of the Secret {secret_name} is assumed"
        ));
    }
    let base_url = source.peek("/agent/env/OPENAI_BASE_URL").and_then(Value::as_str);
    if base_url.is_some_and(|url| url.starts_with("http")) {
        spec.model.api = ModelApi::ChatCompletions;
        if let Some(url) = source.take_text("/agent/env/OPENAI_BASE_URL", "spec.model.baseUrl") {
            spec.model.base_url = url;
        }
    }
    for variable in source
        .peek("/agent/env")
        .and_then(Value::as_object)
        .map(|env| env.keys().cloned().collect::<Vec<_>>())
        .unwrap_or_default()
    {
        if variable == "OPENAI_BASE_URL" && base_url_is_taken(spec) {
            continue;
        }
        source.leave(
            &format!("/agent/env/{variable}"),
            "variables are for the Python program; put what instructions need into them",
        );
    }
}

fn base_url_is_taken(spec: &AgentSpec) -> bool {
    spec.model.api == ModelApi::ChatCompletions
}

fn agent_kind(source: &mut Source) {
    source.take_text("/kind", "kind");
    match source.peek("/agent/acp_type").and_then(Value::as_str) {
        Some("sync") => source.leave(
            "/agent/acp_type",
            "every Agent is asynchronous; a client that waits for an answer uses /v1/responses of the gateway",
        ),
        _ => {
            // `agentic` is the older name of `async`.
            source.take_text("/agent/acp_type", "every Agent is asynchronous");
        }
    }
    match source.peek("/agent/agent_input_type").and_then(Value::as_str) {
        Some("json") => source.leave(
            "/agent/agent_input_type",
            "a message may be text or data; the type of the input is not declared",
        ),
        _ => {
            source.take_text("/agent/agent_input_type", "every Agent takes text");
        }
    }
    source.take("/agent/temporal/enabled", "every Agent is a Temporal workflow");
    let why = "the workflow is AgentTask, on a task queue of the operator; activities of the old worker stay on their \
               task queue";
    source.leave("/agent/temporal/workflow/name", why);
    source.leave("/agent/temporal/workflow/queue_name", why);
    for index in 0..source.length("/agent/temporal/workflows") {
        for member in ["name", "queue_name"] {
            source.leave(&format!("/agent/temporal/workflows/{index}/{member}"), why);
        }
    }
    source.leave(
        "/agent/temporal/health_check_port",
        "the operator sets the probes of workers",
    );
}

fn deployment(source: &mut Source, spec: &mut AgentSpec) {
    let global = "/deployment/global";
    if let Some(replicas) = source.take_parsed(&format!("{global}/replicaCount"), "spec.worker.replicas") {
        spec.worker.replicas = Some(replicas);
    }
    let mut resources = WorkerResources::default();
    for (list, amounts) in [("requests", &mut resources.requests), ("limits", &mut resources.limits)] {
        for name in ["cpu", "memory"] {
            let at = format!("{global}/resources/{list}/{name}");
            if let Some(amount) = source.take_text(&at, &format!("spec.worker.resources.{list}")) {
                amounts.insert(name.to_owned(), Quantity::Text(amount));
            }
        }
    }
    if resources != WorkerResources::default() {
        spec.worker.resources = Some(resources);
    }
    source.leave(
        &format!("{global}/agent"),
        "the Agent has its name and description already",
    );
    source.leave("/deployment/image", PROGRAM);
    source.leave(
        "/deployment/imagePullSecrets",
        "the image is not used; for the worker image, set spec.worker.podTemplate.spec.imagePullSecrets",
    );
}

/// How the Python program is built and started.
fn leave_the_program(source: &mut Source) {
    for field in ["root", "include_paths", "dockerfile", "dockerignore"] {
        source.leave(&format!("/build/context/{field}"), PROGRAM);
    }
    for field in ["agent/port", "agent/host_address", "paths/acp", "paths/worker"] {
        source.leave(&format!("/local_development/{field}"), PROGRAM);
    }
}

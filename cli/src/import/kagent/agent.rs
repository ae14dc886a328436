//! An Agent of kagent as an Agent of Steadfast, with an AgentTool for each MCP
//! server that it uses. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use steadfast_crds::{
    AgentSpec, Quantity,
    agent::{AgentToolReference, ConfigMapKey, Credential, InstructionsSource},
    worker::WorkerResources,
};

use super::{
    super::{
        manifest::{self, Metadata},
        source::Source,
    },
    AGENT_VERSION, Key, Objects, leave_allowed_namespaces, mcp_server, metadata, model_config,
    prompt::{self, Context},
};

const OF_OWN_FRAMEWORK: &str = "a program of another framework is no Agent: serve its parts as tools of kind activity, \
                                http or mcp";
const NO_SKILLS: &str = "there are no skills: put what they say into the instructions, and what they do into tools";
const IMAGE_OF_STEADFAST: &str = "Steadfast's own worker runs every Agent";

/// The manifests of one Agent; none if it cannot be one.
pub(super) fn import(key: &Key, objects: &mut Objects) -> anyhow::Result<Vec<Value>> {
    let Some(object) = objects.find(&key.0, &key.1, &key.2) else {
        return Ok(Vec::new());
    };
    let is_current = object.manifest.api_version() == AGENT_VERSION;
    let mut source = std::mem::replace(&mut object.source, Source::new(Value::Null));
    let mut notes = Vec::new();
    let mut manifests = Vec::new();
    if !is_current {
        notes.push(format!("only {AGENT_VERSION} is imported: convert the object first"));
    } else if source.peek("/spec/byo").is_some() {
        for field in ["/metadata", "/spec/byo", "/spec/type", "/spec/description"] {
            source.leave(field, OF_OWN_FRAMEWORK);
        }
        notes.push("the Agent runs a program of its own (type BYO) and is not imported".to_owned());
    } else {
        manifests = declarative(&mut source, objects, &mut notes)?;
    }
    source.leave("/spec/platform", "workers are pods of a Deployment");
    if let Some(object) = objects.find(&key.0, &key.1, &key.2) {
        // `find` marks fields of the placeholder, which is replaced.
        source.take("/apiVersion", "apiVersion");
        source.take("/kind", "kind");
        object.source = source;
        object.notes = notes;
    }
    Ok(manifests)
}

fn declarative(source: &mut Source, objects: &mut Objects, notes: &mut Vec<String>) -> anyhow::Result<Vec<Value>> {
    let mut metadata = metadata(source);
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = manifest::agent_name(&metadata.name);
    if name != metadata.name {
        notes.push(format!("the name {} is {name} here", metadata.name));
        metadata.name = name;
    }
    let mut spec = manifest::default_agent()?;
    source.take("/spec/type", "every Agent is declarative");
    spec.description = source
        .take_text("/spec/description", "spec.description")
        .unwrap_or_default();
    let config = source
        .take_text("/spec/declarative/modelConfig", "spec.model")
        .unwrap_or_else(|| model_config::DEFAULT_NAME.to_owned());
    // A reference may name the namespace, which must be the Agent's.
    let config = config.rsplit('/').next().unwrap_or_default();
    model_config::apply(objects, &namespace, config, &mut spec, notes);
    instructions(source, objects, &metadata, &mut spec, notes);
    let tools = tools(source, objects, &metadata, &mut spec, notes)?;
    deployment(source, &mut spec);
    leave_the_rest(source);
    let mut manifests = vec![manifest::agent(&metadata, &spec)?];
    manifests.extend(tools);
    Ok(manifests)
}

fn instructions(
    source: &mut Source,
    objects: &Objects,
    metadata: &Metadata,
    spec: &mut AgentSpec,
    notes: &mut Vec<String>,
) {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let at = "/spec/declarative";
    let part = |part: &str| {
        let value = source.peek(&format!("{at}/systemMessageFrom/{part}"));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (kind, object, key) = (part("type"), part("name"), part("key"));
    let is_template = source.peek(&format!("{at}/promptTemplate")).is_some();
    let text = source
        .take_text(&format!("{at}/systemMessage"), "spec.instructions")
        .or_else(|| {
            let text = objects
                .config_map_value(namespace, &object, &key)
                .filter(|_| kind == "ConfigMap")?;
            source.take(&format!("{at}/systemMessageFrom"), "spec.instructions");
            Some(text)
        });
    match text {
        Some(text) if is_template => {
            let aliases = prompt_sources(source);
            let include = |path: &str| {
                let (alias, key) = path.split_once('/')?;
                objects.config_map_value(namespace, aliases.get(alias)?, key)
            };
            let tools = tool_names(source);
            let variable = |name: &str| match name {
                "AgentName" => Some(metadata.name.clone()),
                "AgentNamespace" => Some(namespace.to_owned()),
                "Description" => Some(spec.description.clone()),
                "ToolNames" => Some(tools.clone()),
                _ => None,
            };
            let context = Context {
                include: &include,
                variable: &variable,
            };
            let (text, problems) = prompt::template(&text, &context);
            spec.instructions = Some(text);
            notes.extend(problems);
        }
        Some(text) => spec.instructions = Some(prompt::plain(&text)),
        None if kind == "ConfigMap" => {
            source.take(
                &format!("{at}/systemMessageFrom"),
                "spec.instructionsFrom.configMapKeyRef",
            );
            spec.instructions_from = Some(InstructionsSource {
                config_map_key_ref: ConfigMapKey { name: object, key },
            });
            notes.push("the instructions of a ConfigMap are a minijinja template: check them for braces".to_owned());
        }
        None => {
            source.leave(
                &format!("{at}/systemMessageFrom"),
                "instructions are no secret: put them into the Agent or a ConfigMap",
            );
            let description = manifest::literal_template(&spec.description);
            spec.instructions = Some(
                format!("You are {}. {description}", metadata.name)
                    .trim_end()
                    .to_owned(),
            );
            notes.push("the Agent has no system message that can be read: write spec.instructions".to_owned());
        }
    }
    if source.peek(&format!("{at}/systemMessage")).is_none() && spec.instructions_from.is_some() {
        source.leave(
            &format!("{at}/promptTemplate/dataSources"),
            "instructions of a ConfigMap include no other texts: put all of it into one",
        );
    }
}

/// ConfigMaps by the alias, or else the name, that templates include them by.
fn prompt_sources(source: &mut Source) -> BTreeMap<String, String> {
    let mut aliases = BTreeMap::new();
    let at = "/spec/declarative/promptTemplate/dataSources";
    for index in 0..source.length(at) {
        let part = |part: &str| {
            let value = source.peek(&format!("{at}/{index}/{part}")).and_then(Value::as_str);
            value.map(str::to_owned)
        };
        if let Some(name) = part("name") {
            aliases.insert(part("alias").unwrap_or_else(|| name.clone()), name);
        }
    }
    for index in 0..source.length(at) {
        for field in ["kind", "apiGroup", "name", "alias"] {
            source.take(&format!("{at}/{index}/{field}"), "spec.instructions");
        }
    }
    aliases
}

fn tool_names(source: &Source) -> String {
    let tools = source.peek("/spec/declarative/tools").and_then(Value::as_array);
    let names = tools.into_iter().flatten().flat_map(|tool| {
        let names = tool["mcpServer"]["toolNames"].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).collect::<Vec<_>>()
    });
    names.collect::<Vec<_>>().join(", ")
}

fn tools(
    source: &mut Source,
    objects: &mut Objects,
    metadata: &Metadata,
    spec: &mut AgentSpec,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Value>> {
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let mut manifests = Vec::new();
    for index in 0..source.length("/spec/declarative/tools") {
        let at = format!("/spec/declarative/tools/{index}");
        source.take(&format!("{at}/type"), "spec.tools[]");
        if let Some(agent) = source.take_text(&format!("{at}/agent/name"), "spec.tools[].agent") {
            for field in ["kind", "apiGroup"] {
                source.take(&format!("{at}/agent/{field}"), "spec.tools[].agent");
            }
            let other = source.peek(&format!("{at}/agent/namespace")).and_then(Value::as_str);
            if other.is_none_or(|other| other == namespace) {
                source.take(&format!("{at}/agent/namespace"), "spec.tools[].agent");
            } else {
                source.leave(
                    &format!("{at}/agent/namespace"),
                    "an Agent calls Agents of its own namespace: apply that one there too",
                );
            }
            source.leave(
                &format!("{at}/headersFrom"),
                "a call of an Agent is a child workflow, not a request with headers",
            );
            spec.tools.push(reference(None, Some(manifest::agent_name(&agent))));
            continue;
        }
        let Some((server, tool)) = mcp_server::import(source, &at, &namespace, objects, spec, notes)? else {
            continue;
        };
        // The selection of tools is the Agent's; two Agents may select different ones.
        let name = manifest::tool_name(&format!("{}-{server}", metadata.name));
        if spec.tools.iter().any(|known| known.tool.as_deref() == Some(&name)) {
            notes.push(format!(
                "the server {server} stands twice; its second entry is left out"
            ));
            continue;
        }
        spec.tools.push(reference(Some(name.clone()), None));
        let of_tool = Metadata {
            name,
            namespace: metadata.namespace.clone(),
            ..Metadata::default()
        };
        manifests.push(manifest::tool(&of_tool, &tool)?);
    }
    Ok(manifests)
}

fn reference(tool: Option<String>, agent: Option<String>) -> AgentToolReference {
    AgentToolReference {
        tool,
        agent,
        namespace: None,
        name: None,
        description: None,
        approval: None,
    }
}

/// `deployment`: replicas, resources, and what a pod template can hold.
fn deployment(source: &mut Source, spec: &mut AgentSpec) {
    let at = "/spec/declarative/deployment";
    if let Some(replicas) = source.take_parsed(&format!("{at}/replicas"), "spec.worker.replicas") {
        spec.worker.replicas = Some(replicas);
    }
    let mut resources = WorkerResources::default();
    for (list, amounts) in [("requests", &mut resources.requests), ("limits", &mut resources.limits)] {
        let target = format!("spec.worker.resources.{list}");
        let Some(Value::Object(all)) = source.take(&format!("{at}/resources/{list}"), &target) else {
            continue;
        };
        for (name, amount) in all {
            if let Ok(amount) = serde_json::from_value::<Quantity>(amount) {
                amounts.insert(name, amount);
            }
        }
    }
    if resources != WorkerResources::default() {
        spec.worker.resources = Some(resources);
    }
    let mut pod = Map::new();
    for field in ["imagePullSecrets", "tolerations", "affinity", "nodeSelector"] {
        let target = format!("spec.worker.podTemplate.spec.{field}");
        if let Some(value) = source.take(&format!("{at}/{field}"), &target) {
            pod.insert(field.to_owned(), value);
        }
    }
    let mut metadata = Map::new();
    for field in ["labels", "annotations"] {
        let target = format!("spec.worker.podTemplate.metadata.{field}");
        if let Some(value) = source.take(&format!("{at}/{field}"), &target) {
            metadata.insert(field.to_owned(), value);
        }
    }
    for (part, content) in [("metadata", metadata), ("spec", pod)] {
        if !content.is_empty() {
            spec.worker.pod_template.insert(part.to_owned(), json!(content));
        }
    }
    environment(source, spec, at);
    for (field, why) in [
        ("imageRegistry", IMAGE_OF_STEADFAST),
        ("imagePullPolicy", IMAGE_OF_STEADFAST),
        ("volumes", "nothing in a worker reads files"),
        ("volumeMounts", "nothing in a worker reads files"),
        ("securityContext", "workers run under the restricted profile"),
        ("podSecurityContext", "workers run under the restricted profile"),
        ("serviceAccountName", "the operator gives each worker a ServiceAccount"),
        (
            "serviceAccountConfig",
            "the operator gives each worker a ServiceAccount",
        ),
        (
            "extraContainers",
            "add containers with spec.worker.podTemplate.spec.containers",
        ),
        ("resources/claims", "workers use no devices"),
    ] {
        source.leave(&format!("{at}/{field}"), why);
    }
}

/// Variables of Secrets are credentials; others have no reader.
fn environment(source: &mut Source, spec: &mut AgentSpec, at: &str) {
    for index in 0..source.length(&format!("{at}/env")) {
        let at = format!("{at}/env/{index}");
        let part = |pointer: &str| {
            let value = source.peek(&format!("{at}/{pointer}")).and_then(Value::as_str);
            value.map(str::to_owned)
        };
        let read = (
            part("name"),
            part("valueFrom/secretKeyRef/name"),
            part("valueFrom/secretKeyRef/key"),
        );
        if let (Some(env_var_name), Some(secret_name), Some(secret_key)) = read {
            source.take(&at, "spec.credentials[]");
            if !spec.credentials.iter().any(|known| known.env_var_name == env_var_name) {
                spec.credentials.push(Credential {
                    env_var_name,
                    secret_name,
                    secret_key,
                    hosts: Vec::new(),
                });
            }
        } else {
            source.leave(
                &at,
                "nothing in an Agent reads it; a tool reads a value of a Secret as ${env.NAME}",
            );
        }
    }
}

fn leave_the_rest(source: &mut Source) {
    let at = "/spec/declarative";
    source.take(&format!("{at}/stream"), "every answer is streamed");
    for (field, why) in [
        ("runtime", IMAGE_OF_STEADFAST),
        ("a2aConfig/skills", "Agents have no list of skills for other systems"),
        ("executeCodeBlocks", "an Agent runs no code: give it a tool that does"),
        (
            "memory",
            "a task remembers its own conversation only: give the Agent a tool for a memory of all",
        ),
        ("shareTools", "an Agent's tools are its own"),
        (
            "context/compaction",
            "every Agent compacts its context: spec.context says at how many tokens",
        ),
    ] {
        source.leave(&format!("{at}/{field}"), why);
    }
    for field in [
        "insecureSkipVerify",
        "refs",
        "imagePullSecrets",
        "gitAuthSecretRef",
        "gitRefs",
        "s3Refs",
        "initContainer",
    ] {
        source.leave(&format!("/spec/skills/{field}"), NO_SKILLS);
    }
    source.leave(
        "/spec/sandbox",
        "an Agent runs no code; hosts of a credential are limited by spec.credentials[].hosts",
    );
    for field in ["iconUrl", "documentationUrl", "version", "provider"] {
        source.leave(&format!("/spec/{field}"), "there is no agent card");
    }
    leave_allowed_namespaces(source);
}

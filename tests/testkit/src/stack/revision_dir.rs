//! The directory with the AgentRevisions of a stack, as the operator would create them.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use steadfast_crds::{
    agent_revision::{AgentRevision, AgentRevisionSpec, RevisionTool},
    names::{AGENT_LABEL, agent_task_queue, revision_name},
};

use super::{INSTALL, NAMESPACE};
use crate::temp_dir::TempDir;

/// The directory that workers and the gateway read instead of the API server.
#[derive(Debug)]
pub struct RevisionDir(TempDir);

impl RevisionDir {
    pub(super) fn new() -> anyhow::Result<Self> {
        TempDir::new("revisions").map(Self)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Adds a revision to a directory, atomically.
pub(super) fn publish(dir: &Path, namespace: &str, spec: &AgentRevisionSpec) -> anyhow::Result<()> {
    let name = revision_name(&spec.agent, spec.sequence);
    let mut revision = AgentRevision::new(&name, spec.clone());
    revision.metadata.namespace = Some(namespace.to_owned());
    revision.metadata.labels = Some([(AGENT_LABEL.to_owned(), spec.agent.clone())].into());
    // JSON is YAML.
    let manifest = serde_json::to_string_pretty(&revision).context("write a revision as JSON")?;
    let unfinished = dir.join(format!("{name}.unfinished"));
    std::fs::write(&unfinished, manifest).with_context(|| format!("write {}", unfinished.display()))?;
    std::fs::rename(&unfinished, dir.join(format!("{name}.yaml"))).context("rename a revision")
}

/// Removes a revision from a directory.
pub(super) fn remove(dir: &Path, agent: &str, sequence: i64) -> anyhow::Result<()> {
    let file = dir.join(format!("{}.yaml", revision_name(agent, sequence)));
    std::fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))
}

/// The first revision of an agent, with short retry intervals.
pub(super) fn first(agent: &str, base_url: &str) -> anyhow::Result<AgentRevisionSpec> {
    let spec = json!({
        "agent": agent,
        "sequence": 1,
        "description": format!("The agent of {agent}."),
        "instructions": "You are a test.",
        "model": {
            "name": "scripted",
            "baseUrl": base_url,
            "apiKeyEnvVar": "OPENAI_API_KEY",
            "retry": {"initialInterval": "200ms", "maximumInterval": "2s"},
        },
        "taskQueue": agent_task_queue(INSTALL, NAMESPACE, agent),
        "credentials": [{"envVarName": "OPENAI_API_KEY"}],
    });
    serde_json::from_value(spec).context("build a revision")
}

/// A tool from the spec of an AgentTool.
pub(super) fn tool(name: &str, spec: Value) -> anyhow::Result<RevisionTool> {
    let spec = serde_json::from_value(spec).with_context(|| format!("read the spec of tool {name:?}"))?;
    Ok(RevisionTool {
        name: name.to_owned(),
        from: None,
        spec,
    })
}

/// The spec of a tool that calls the activity of the same name on a task queue.
/// `properties` are those of its JSON Schema; all are required.
pub fn activity_tool(name: &str, task_queue: &str, properties: &Value) -> Value {
    let required: Vec<&String> = properties
        .as_object()
        .map(|object| object.keys().collect())
        .unwrap_or_default();
    json!({
        "description": format!("The tool {name}."),
        "parameters": {
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        },
        "activity": {"name": name, "taskQueue": task_queue},
        "retry": {"initialInterval": "200ms"},
    })
}

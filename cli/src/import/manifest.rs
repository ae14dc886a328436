//! The manifests that an import writes: typed, then without what is the default. Pure.

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value, json};
use steadfast_crds::{Agent, AgentSpec, AgentTool, AgentToolSpec, names};

/// No model has this name, so the name of the model is never a default.
const NO_NAME: &str = "\0";

/// The metadata that an object keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) labels: Map<String, Value>,
    pub(super) annotations: Map<String, Value>,
}

impl Metadata {
    fn to_json(&self) -> Value {
        let mut metadata = json!({ "name": self.name });
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        for (member, content) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !content.is_empty() {
                metadata[member] = json!(content);
            }
        }
        metadata
    }
}

/// The specification of an Agent with nothing but defaults.
pub(super) fn default_agent() -> anyhow::Result<AgentSpec> {
    serde_json::from_value(json!({"model": {"name": NO_NAME}})).context("the defaults of an Agent")
}

/// The specification of an AgentTool with nothing but defaults.
pub(super) fn default_tool() -> anyhow::Result<AgentToolSpec> {
    serde_json::from_value(json!({ "description": "" })).context("the defaults of an AgentTool")
}

pub(super) fn agent(metadata: &Metadata, spec: &AgentSpec) -> anyhow::Result<Value> {
    object::<Agent>(metadata, spec, &default_agent()?)
}

pub(super) fn tool(metadata: &Metadata, spec: &AgentToolSpec) -> anyhow::Result<Value> {
    object::<AgentTool>(metadata, spec, &default_tool()?)
}

fn object<K: kube::Resource<DynamicType = ()>>(
    metadata: &Metadata,
    spec: &impl Serialize,
    default: &impl Serialize,
) -> anyhow::Result<Value> {
    let mut spec = serde_json::to_value(spec).context("encode a manifest")?;
    let default = serde_json::to_value(default).context("encode a manifest")?;
    without_defaults(&mut spec, &default);
    Ok(json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata.to_json(), "spec": spec,
    }))
}

fn without_defaults(value: &mut Value, default: &Value) {
    if let (Some(members), Some(defaults)) = (value.as_object_mut(), default.as_object()) {
        members.retain(|name, member| {
            let Some(default) = defaults.get(name) else { return true };
            if member == default {
                return false;
            }
            without_defaults(member, default);
            true
        });
    }
}

/// The name of an Agent: a DNS label. A name that is none is made one.
pub(super) fn agent_name(name: &str) -> String {
    label(name, names::MAXIMUM_AGENT_NAME_BYTES)
}

/// The name of an AgentTool: a DNS label.
pub(super) fn tool_name(name: &str) -> String {
    label(name, 63)
}

fn label(name: &str, length: usize) -> String {
    let allowed = name.chars().map(|character| match character.to_ascii_lowercase() {
        allowed @ ('a'..='z' | '0'..='9') => allowed,
        _ => '-',
    });
    let label: String = allowed
        .skip_while(|character| !character.is_ascii_alphabetic())
        .collect();
    let label: String = label.chars().take(length).collect();
    label.trim_end_matches('-').to_owned()
}

/// A text that is no template, as the template that renders to it.
pub(super) fn literal_template(text: &str) -> String {
    let is_plain = ["{{", "{%", "{#"].iter().all(|mark| !text.contains(mark));
    if is_plain {
        return text.to_owned();
    }
    if !text.contains("endraw") {
        return format!("{{% raw %}}{text}{{% endraw %}}");
    }
    // A text about templates: each mark as an expression.
    let mut template = text.replace("{{", "\u{0}");
    for mark in ["{%", "{#"] {
        template = template.replace(mark, &format!("{{{{ '{mark}' }}}}"));
    }
    template.replace('\u{0}', "{{ '{{' }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_no_defaults() {
        let metadata = Metadata {
            name: "a".to_owned(),
            ..Metadata::default()
        };
        let mut spec = default_agent().unwrap();
        spec.model.name = "m".to_owned();
        spec.model.settings.temperature = Some(0.5);
        assert_eq!(
            agent(&metadata, &spec).unwrap(),
            json!({
                "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent", "metadata": {"name": "a"},
                "spec": {"model": {"name": "m", "settings": {"temperature": 0.5}}},
            })
        );
    }

    #[test]
    fn names_are_labels() {
        assert_eq!(agent_name("at070_Tools-"), "at070-tools");
        assert_eq!(agent_name("-9-a"), "a");
        assert_eq!(agent_name(&"x".repeat(99)).len(), names::MAXIMUM_AGENT_NAME_BYTES);
    }

    #[test]
    fn a_text_with_braces_stays_a_text() {
        assert_eq!(literal_template("plain {a}"), "plain {a}");
        assert_eq!(
            literal_template("up{job=\"x\"} {{a}}"),
            "{% raw %}up{job=\"x\"} {{a}}{% endraw %}"
        );
        assert_eq!(literal_template("{{a {% endraw"), "{{ '{{' }}a {{ '{%' }} endraw");
    }
}

//! Manifests of kagent 0.10: Agents of type Declarative, with their `ModelConfigs`,
//! `RemoteMCPServers` and `MCPServers`, become Agents and AgentTools.
//!
//! The fields are those of `kagent.dev/v1alpha2` in
//! <https://github.com/kagent-dev/kagent/tree/main/go/api/v1alpha2>. Pure.

mod agent;
mod mcp_server;
mod model_config;
mod prompt;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::anyhow;
use serde_json::Value;
use steadfast_crds::manifests::{self, Manifest};

use super::{Imported, manifest::Metadata, report::Document, source::Source};

const GROUP: &str = "kagent.dev/";
/// The namespace of the API of `MCPServer` differs: it comes from another project, kmcp.
const AGENT_VERSION: &str = "kagent.dev/v1alpha2";

/// Kind, namespace and name of an object.
type Key = (String, String, String);

/// The objects of all files.
#[derive(Debug)]
struct Objects {
    all: BTreeMap<Key, Object>,
}

/// An object with what was read of it, by all Agents that refer to it.
#[derive(Debug)]
struct Object {
    manifest: Manifest,
    source: Source,
    notes: Vec<String>,
    /// An Agent refers to it, or it is an Agent.
    used: bool,
}

/// Reads all files together: an object may refer to one of another file.
pub(super) fn import(texts: &[(PathBuf, String)]) -> anyhow::Result<Imported> {
    let (mut objects, others) = read(texts)?;
    let mut imported = Imported::default();
    // What other projects own stays as it is: ConfigMaps with prompts, Secrets with keys.
    imported.manifests.extend(others);
    let agents: Vec<Key> = objects
        .all
        .keys()
        .filter(|(kind, ..)| matches!(kind.as_str(), "Agent" | "SandboxAgent"))
        .cloned()
        .collect();
    for key in agents {
        imported.manifests.extend(agent::import(&key, &mut objects)?);
    }
    for ((kind, _, name), mut object) in objects.all {
        if kind == "ConfigMap" || kind == "Secret" {
            continue;
        }
        if !object.used {
            object.source.leave("/spec", "no Agent of these files refers to it");
            for field in ["/apiVersion", "/kind", "/metadata"] {
                object.source.leave(field, "no Agent of these files refers to it");
            }
        }
        object.source.leave("/status", "the operator writes the status");
        let origin = &object.manifest.origin;
        let place = origin.file.display().to_string();
        imported.documents.push(Document::new(
            (&place, origin.line),
            &kind,
            &name,
            object.source,
            object.notes,
        ));
    }
    Ok(imported)
}

/// The objects of kagent, and the ConfigMaps and Secrets, which also are returned as they are.
fn read(texts: &[(PathBuf, String)]) -> anyhow::Result<(Objects, Vec<Value>)> {
    let mut all = BTreeMap::new();
    let mut others = Vec::new();
    for (file, text) in texts {
        let parsed = manifests::parse(file, text).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            anyhow!("{error}{cause}")
        })?;
        for manifest in parsed {
            let kind = manifest.kind().to_owned();
            let is_other = matches!(kind.as_str(), "ConfigMap" | "Secret") && manifest.api_version() == "v1";
            if is_other {
                others.push(manifest.object.clone());
            } else if !manifest.api_version().starts_with(GROUP) {
                continue;
            }
            let metadata = &manifest.object["metadata"];
            let part = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
            let key = (kind, part("namespace"), part("name"));
            let source = Source::new(manifest.object.clone());
            all.insert(
                key,
                Object {
                    manifest,
                    source,
                    notes: Vec::new(),
                    used: false,
                },
            );
        }
    }
    Ok((Objects { all }, others))
}

impl Objects {
    /// An object that an object of `namespace` refers to.
    fn find(&mut self, kind: &str, namespace: &str, name: &str) -> Option<&mut Object> {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let object = self.all.get_mut(&key)?;
        object.used = true;
        for field in ["/apiVersion", "/kind"] {
            object.source.take(field, "kind");
        }
        Some(object)
    }

    /// A value of a ConfigMap.
    fn config_map_value(&self, namespace: &str, name: &str, key: &str) -> Option<String> {
        let object = self
            .all
            .get(&("ConfigMap".to_owned(), namespace.to_owned(), name.to_owned()))?;
        object.manifest.object["data"][key].as_str().map(str::to_owned)
    }
}

/// The metadata that a new object keeps.
fn metadata(source: &mut Source) -> Metadata {
    let mut metadata = Metadata {
        name: source.take_text("/metadata/name", "metadata.name").unwrap_or_default(),
        namespace: source.take_text("/metadata/namespace", "metadata.namespace"),
        ..Metadata::default()
    };
    if let Some(Value::Object(labels)) = source.take("/metadata/labels", "metadata.labels") {
        metadata.labels = labels;
    }
    if let Some(Value::Object(annotations)) = source.take("/metadata/annotations", "metadata.annotations") {
        metadata.annotations = annotations;
    }
    metadata
}

/// Marks the metadata of an object that becomes a part of another one.
fn leave_metadata(source: &mut Source) {
    source.take("/metadata/name", "the reference to it");
    source.take("/metadata/namespace", "the reference to it");
    let why = "the object is a part of another one now";
    source.leave("/metadata/labels", why);
    source.leave("/metadata/annotations", why);
}

/// `allowedNamespaces` of any object.
fn leave_allowed_namespaces(source: &mut Source) {
    source.leave(
        "/spec/allowedNamespaces",
        "Agents refer to objects of their own namespace only",
    );
}

/// The name of a variable for a value of a Secret: letters, digits and `_`.
fn variable_name(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|character| match character.to_ascii_uppercase() {
            allowed @ ('A'..='Z' | '0'..='9') => allowed,
            _ => '_',
        })
        .collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

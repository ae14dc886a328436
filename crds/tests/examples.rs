//! The manifests in `examples/`: each is read as the type it is, by the same
//! rules as at admission, and names only what its folder has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use steadfast_crds::{Agent, AgentTool};

fn folders() -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// Every document of every manifest of a folder, with where it stands.
fn documents(folder: &Path) -> Vec<(String, Value)> {
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let value = Value::deserialize(document).unwrap();
            assert!(value["metadata"]["name"].is_string(), "{}: {value}", path.display());
            documents.push((path.display().to_string(), value));
        }
    }
    documents
}

/// All objects of one type; a field that the type does not know is one that was misspelt.
fn objects<T: DeserializeOwned + serde::Serialize>(documents: &[(String, Value)], kind: &str) -> Vec<(String, T)> {
    let of_kind = documents.iter().filter(|(_, value)| value["kind"] == kind);
    let read = of_kind.map(|(place, value)| {
        let object: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{place}: {error}"));
        check_known(place, value, &serde_json::to_value(&object).unwrap());
        (place.clone(), object)
    });
    read.collect()
}

fn check_known(place: &str, written: &Value, read: &Value) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (name, value) in written {
                let known = read.get(name);
                let known = known.unwrap_or_else(|| panic!("{place}: {name} is no field there"));
                check_known(&format!("{place}: {name}"), value, known);
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            for (written, read) in written.iter().zip(read) {
                check_known(place, written, read);
            }
        }
        _ => {}
    }
}

#[test]
fn every_manifest_would_be_admitted_and_names_only_what_is_beside_it() {
    let mut names = BTreeSet::new();
    for folder in folders() {
        let documents = documents(&folder);
        let agents: Vec<(String, Agent)> = objects(&documents, "Agent");
        let tools: Vec<(String, AgentTool)> = objects(&documents, "AgentTool");
        assert!(!agents.is_empty(), "{} has no Agent", folder.display());
        let is_there = |kind: &str, name: &str| {
            documents
                .iter()
                .any(|(_, value)| value["kind"] == kind && value["metadata"]["name"] == name)
        };
        for (place, tool) in &tools {
            assert!(tool.validate_cel().is_ok(), "{place}: {:?}", tool.validate_cel());
        }
        for (place, agent) in &agents {
            assert!(agent.validate_cel().is_ok(), "{place}: {:?}", agent.validate_cel());
            for reference in &agent.spec.tools {
                if let Some(tool) = &reference.tool {
                    assert!(is_there("AgentTool", tool), "{place}: there is no AgentTool {tool}");
                }
                if let Some(agent) = &reference.agent {
                    assert!(is_there("Agent", agent), "{place}: there is no Agent {agent}");
                }
            }
            let checks = agent.spec.guardrails.input.iter().chain(&agent.spec.guardrails.output);
            let others = agent.spec.handoffs.iter().map(|handoff| &handoff.agent);
            for other in others.chain(checks.filter_map(|check| check.agent.as_ref())) {
                assert!(is_there("Agent", other), "{place}: there is no Agent {other}");
            }
            assert!(
                agent
                    .spec
                    .credentials
                    .iter()
                    .any(|credential| credential.env_var_name == agent.spec.model.api_key_env_var),
                "{place}: no credential is the model's key"
            );
        }
        // All examples can be applied to one namespace.
        for (place, value) in &documents {
            let name = format!("{} {}", value["kind"], value["metadata"]["name"]);
            assert!(names.insert(name.clone()), "{place}: {name} is in another example too");
        }
    }
}

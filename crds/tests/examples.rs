//! The manifests in `examples/`: each one has only known fields, satisfies the
//! rules of admission, and refers only to objects in its directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use steadfast_crds::{
    Agent, AgentTool, WorkerPool,
    manifests::{Manifest, read_dir},
};

fn directories() -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut directories: Vec<PathBuf> = std::fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    directories.sort();
    directories
}

/// All objects of one kind, with their origin. Fails for an unknown field, which is a misspelt one.
fn objects<T: DeserializeOwned + serde::Serialize>(manifests: &[Manifest], kind: &str) -> Vec<(String, T)> {
    let of_kind = manifests.iter().filter(|manifest| manifest.kind() == kind);
    let read = of_kind.map(|manifest| {
        let place = manifest.origin.to_string();
        let object: T = manifest.decode().unwrap();
        check_known(&place, &manifest.object, &serde_json::to_value(&object).unwrap());
        (place, object)
    });
    read.collect()
}

fn check_known(place: &str, written: &Value, read: &Value) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (name, value) in written {
                let known = read.get(name);
                let known = known.unwrap_or_else(|| panic!("{place}: {name} is not a known field"));
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
fn every_example_is_admitted_and_refers_only_to_objects_in_its_directory() {
    let mut names = BTreeSet::new();
    for directory in directories() {
        let manifests = read_dir(&directory).unwrap();
        let agents: Vec<(String, Agent)> = objects(&manifests, "Agent");
        let tools: Vec<(String, AgentTool)> = objects(&manifests, "AgentTool");
        let pools: Vec<(String, WorkerPool)> = objects(&manifests, "WorkerPool");
        assert!(!agents.is_empty(), "{} has no Agent", directory.display());
        for (place, pool) in &pools {
            assert!(pool.validate_cel().is_ok(), "{place}: {:?}", pool.validate_cel());
        }
        let is_there = |kind: &str, name: &str| {
            manifests
                .iter()
                .any(|manifest| manifest.kind() == kind && manifest.object["metadata"]["name"] == name)
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
            let of_pool = agent.spec.pool().map(|pool| {
                let owner = pools
                    .iter()
                    .find(|(_, found)| found.metadata.name.as_deref() == Some(pool));
                let (_, found) = owner.unwrap_or_else(|| panic!("{place}: there is no WorkerPool {pool}"));
                &found.spec.credentials
            });
            assert!(
                of_pool
                    .unwrap_or(&agent.spec.credentials)
                    .iter()
                    .any(|credential| credential.env_var_name == agent.spec.model.api_key_env_var),
                "{place}: no credential sets the model's API key"
            );
        }
        // All examples can be applied to one namespace.
        for manifest in &manifests {
            let name = format!("{} {}", manifest.kind(), manifest.object["metadata"]["name"]);
            assert!(
                names.insert(name.clone()),
                "{}: {name} is in another example too",
                manifest.origin
            );
        }
    }
}

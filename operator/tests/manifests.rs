//! What is built for each Agent in `manifests/`: from YAML through validate
//! and build, with no API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use kube::{ResourceExt as _, core::DeserializeGuard};
use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentTool};
use steadfast_operator::{
    agent_controller::{
        build::{Desired, RevisionPlan, build},
        dereference::{Found, History, Instructions},
        introduction::Introduction,
        validate::validate,
    },
    args::{ImagePullPolicy, SecretKey, SecretVariable, Variable},
    keyed_hash::KeyedHash,
    settings::Settings,
};

fn settings() -> Settings {
    let variable = |name: &str, value: &str| Variable {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Settings {
        install_id: "demo".to_owned(),
        worker_image: "steadfast/worker:1".to_owned(),
        image_pull_policy: ImagePullPolicy::IfNotPresent,
        worker_env: vec![
            variable("TEMPORAL_ADDRESS", "temporal:7233"),
            variable("TEMPORAL_NAMESPACE", "default"),
        ],
        worker_secret_env: vec![SecretVariable {
            name: "REDIS_URL".to_owned(),
            source: SecretKey {
                secret: "redis".to_owned(),
                key: "url".to_owned(),
            },
        }],
    }
}

/// The first Agent of a file, and as what it refers to, the other Agents, tools and Secrets of the file;
/// Secret values are plain text.
fn read(path: &Path) -> (Agent, Found) {
    let mut agent: Option<Agent> = None;
    let mut agents = BTreeMap::new();
    let mut tools = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    for document in serde_yaml_ng::Deserializer::from_str(&fs::read_to_string(path).unwrap()) {
        let document = Value::deserialize(document).unwrap();
        match document["kind"].as_str().unwrap() {
            "Agent" => {
                let read: Agent = serde_json::from_value(document).unwrap();
                let guarded = DeserializeGuard(Ok(read.clone()));
                agents.insert(read.name_any(), Introduction::of(Some(&guarded)));
                agent.get_or_insert(read);
            }
            "AgentTool" => {
                let tool: AgentTool = serde_json::from_value(document).unwrap();
                tools.insert(tool.name_any(), Some(Arc::new(DeserializeGuard(Ok(tool)))));
            }
            "Secret" => {
                let name = document["metadata"]["name"].as_str().unwrap().to_owned();
                let keys = document["stringData"].as_object().unwrap().keys();
                let digests = keys.map(|key| (key.clone(), format!("digest of {key}"))).collect();
                secrets.insert(name, Some(Arc::new(digests)));
            }
            other => panic!("unexpected kind {other}"),
        }
    }
    let agent = agent.expect("an Agent");
    let instructions = Instructions::Text(agent.spec.instructions.clone().unwrap_or_default());
    (
        agent,
        Found {
            instructions,
            tools,
            agents,
            secrets,
            history: History::default(),
        },
    )
}

/// Everything that is built, or what stands in the way.
fn built(path: &Path) -> Value {
    let (agent, found) = read(path);
    let hash = KeyedHash::new(b"key").unwrap();
    let validated = validate(&agent, &found, &settings(), &hash).unwrap();
    let Desired { revision, workers } = build(&agent, &validated, &found.history);
    let revision = match revision {
        RevisionPlan::Keep { .. } => Value::Null,
        RevisionPlan::Create { revision, .. } => serde_json::to_value(revision).unwrap(),
    };
    let workers = workers.map(|w| {
        json!({
            "serviceAccount": w.service_account,
            "role": w.role,
            "roleBinding": w.role_binding,
            "deployment": w.deployment,
        })
    });
    let problems: Vec<Value> = validated
        .problems
        .iter()
        .map(|p| json!({ "condition": p.condition.as_str(), "reason": p.reason.as_str(), "message": p.message }))
        .collect();
    json!({ "problems": problems, "revision": revision, "workers": workers })
}

#[test]
fn each_agent_is_built_into_the_manifests_on_record() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_yaml_snapshot!(name, built(&file));
        });
    }
}

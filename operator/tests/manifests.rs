//! The manifests of each Agent in `manifests/`: from YAML through dereference,
//! validate and build, without an API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use steadfast_crds::{Agent, WorkerPool, manifests, yaml};
use steadfast_operator::{
    agents::{
        build::{Desired, RevisionPlan, build},
        dereference::{self, dereference},
        manifest_source::ManifestSource,
        validate::validate,
    },
    hashing::keyed_hash::KeyedHash,
    pools,
    settings::{ImagePullPolicy, SecretKey, SecretVariable, Settings, Variable, WorkerEncryption},
};
use steadfast_testkit::bad_manifests::{self, Verdict};

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
        worker_encryption: None,
        allow_service_account_name: false,
    }
}

/// The manifests of the first Agent of a file, or its errors. The other objects of the file are the cluster.
async fn built(path: &Path) -> Value {
    built_from(path, &fs::read_to_string(path).unwrap(), &settings()).await
}

async fn built_from(path: &Path, text: &str, settings: &Settings) -> Value {
    let hash = KeyedHash::new(b"key").unwrap();
    let manifests = manifests::parse(path, text).unwrap();
    let agent = manifests.iter().find(|manifest| manifest.is::<Agent>());
    let agent: Agent = agent.expect("an Agent").decode().unwrap();
    let namespace = agent.metadata.namespace.as_deref().unwrap();
    let source = ManifestSource::new(&manifests, namespace, &hash).unwrap();

    let dereferenced = dereference(&source, &agent, settings).await.unwrap();
    let validated = validate(&agent, &dereferenced, settings, &hash).unwrap();
    let Desired {
        revision,
        schedules,
        workers,
    } = build(&validated, &dereferenced.history, settings);
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
    let errors: Vec<Value> = validated
        .errors
        .iter()
        .map(|p| json!({ "condition": p.condition.as_str(), "reason": p.reason.as_str(), "message": p.message }))
        .collect();
    json!({ "errors": errors, "revision": revision, "schedules": schedules, "workers": workers })
}

#[tokio::test]
async fn each_agent_is_built_into_the_recorded_manifests() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let built = built(&file).await;
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, yaml::to_string(&built).unwrap());
        });
    }
}

#[tokio::test]
async fn workers_mount_the_encryption_keys_and_a_new_key_replaces_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/smallest.yaml");
    let agent = fs::read_to_string(&path).unwrap();
    let of_keys = async |keys: &str| {
        let secret = format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\nstringData: {keys}\n");
        let settings = Settings {
            worker_encryption: Some(WorkerEncryption {
                secret: "keys".to_owned(),
                key_id: Some("first".to_owned()),
            }),
            ..settings()
        };
        built_from(&path, &format!("{agent}\n{secret}"), &settings).await
    };
    let built = of_keys("{first: a}").await;
    let template = &built["workers"]["deployment"]["spec"]["template"];
    let pod = &template["spec"];
    assert_eq!(
        pod["volumes"],
        json!([{"name": "encryption-keys", "secret": {"secretName": "keys"}}]),
        "{built:#}"
    );
    let container = &pod["containers"][0];
    let mount = json!([{"name": "encryption-keys", "mountPath": "/etc/steadfast/encryption-keys", "readOnly": true}]);
    assert_eq!(container["volumeMounts"], mount);
    let variables = container["env"].as_array().unwrap();
    for (name, value) in [
        ("STEADFAST_ENCRYPTION_KEYS_PATH", "/etc/steadfast/encryption-keys"),
        ("STEADFAST_ENCRYPTION_KEY_ID", "first"),
    ] {
        assert!(variables.contains(&json!({"name": name, "value": value})), "{name}");
    }
    let rotated = of_keys("{first: a, second: b}").await;
    let rotated = &rotated["workers"]["deployment"]["spec"]["template"];
    assert_ne!(rotated["metadata"]["annotations"], template["metadata"]["annotations"]);

    let missing = of_keys("{other: a}").await;
    assert_eq!(missing["errors"][0]["reason"], "SecretKeyNotFound", "{missing:#}");
}

/// An object that was stored before a rule existed reaches the stages, which the API server would keep it from today.
#[tokio::test]
async fn no_stage_panics_at_what_an_older_definition_let_in() {
    let hash = KeyedHash::new(b"key").unwrap();
    let settings = settings();
    let mut reasons = BTreeMap::new();
    for bad in bad_manifests::all() {
        // A grant has no stages: one that cannot be decoded grants nothing.
        if !matches!(bad.verdict, Verdict::Refused(_)) || bad.kind == "AgentReferenceGrant" {
            continue;
        }
        let objects = bad_manifests::surroundings().into_iter().chain([bad.object.clone()]);
        let user = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent", "metadata": {"name": "user"},
            "spec": {"instructions": "Answer.", "model": {"name": "m", "apiKeyEnvVar": ""}, "tools": [{"tool": bad.name}]},
        });
        let text: Vec<String> = objects.chain([user]).map(|object| object.to_string()).collect();
        let manifests = manifests::parse(Path::new("stored.yaml"), &text.join("\n---\n")).unwrap();
        let source = ManifestSource::new(&manifests, "team", &hash).unwrap();
        let named = |kind: &str, name: &str| {
            let mut found = manifests.iter();
            found.find(|manifest| manifest.kind() == kind && manifest.object["metadata"]["name"] == name)
        };
        let errors = match bad.kind {
            "WorkerPool" => match named(bad.kind, bad.name).unwrap().decode::<WorkerPool>() {
                Err(_) => continue,
                Ok(pool) => {
                    let secret_names = pool.spec.credentials.iter().map(|credential| &credential.secret_name);
                    let secrets = dereference::secrets(&source, "team", secret_names).await.unwrap();
                    pools::validate::validate(&pool, &secrets, &settings, &hash).unwrap().1
                }
            },
            kind => {
                let name = if kind == "Agent" { bad.name } else { "user" };
                let Ok(mut agent) = named("Agent", name).unwrap().decode::<Agent>() else {
                    continue;
                };
                agent.metadata.namespace = Some("team".to_owned());
                let dereferenced = dereference(&source, &agent, &settings).await.unwrap();
                let validated = validate(&agent, &dereferenced, &settings, &hash).unwrap();
                drop(build(&validated, &dereferenced.history, &settings));
                validated.errors
            }
        };
        let told: Vec<&str> = errors.iter().map(|error| error.reason.as_str()).collect();
        reasons.insert((bad.kind, bad.name), told.join(" "));
    }
    for (object, reason) in [
        (("Agent", "reserved-variable"), "ReservedEnvVarName"),
        (("Agent", "reserved-small-variable"), "ReservedEnvVarName"),
        (("Agent", "tool-and-agent"), "Malformed"),
        (("AgentTool", "two-kinds"), "ToolNotAccepted"),
        (("AgentTool", "no-kind"), "ToolNotAccepted"),
        (("WorkerPool", "pool-with-a-reserved-variable"), "ReservedEnvVarName"),
    ] {
        assert!(reasons[&object].contains(reason), "{object:?}: {reasons:#?}");
    }
}

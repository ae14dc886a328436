//! What GitOps tools make of our resources, with their own libraries: Argo CD's
//! comparison (gitops-engine) and kstatus, with which Flux and Helm 4 wait. The objects
//! are those of a real API server, before and after the operator has seen them. That no
//! default stands within a list and that a status is never absent are tested in
//! `crds/src/definition.rs` too, in milliseconds.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::ensure;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentTool, conditions::ConditionType, manifests};
use steadfast_operator::{args::LeaderElection, conditions::find};
use steadfast_testkit::{tools::own_go_program, wait, workspace};
use tempfile::TempDir;

use crate::harness::{Cluster, TIMEOUT, agent, tool};

/// Argo CD's name as a manager of fields.
const MANAGER: &str = "--field-manager=argocd-controller";

/// The program that has the libraries.
struct GitOps {
    /// Has the API server's OpenAPI document.
    dir: TempDir,
}

impl GitOps {
    async fn of(cluster: &Cluster) -> Self {
        // The document follows new definitions after a moment.
        let document = wait::until("the definitions in the OpenAPI document", TIMEOUT, async || {
            let document = cluster.kubectl(&["get", "--raw", "/openapi/v2"]).await?;
            for kind in ["Agent", "AgentTool", "WorkerPool"] {
                ensure!(
                    document.contains(&format!("\"dev.steadfast.v1alpha1.{kind}\"")),
                    "{kind} is missing"
                );
            }
            Ok(document)
        })
        .await
        .unwrap();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("openapi.json"), document).unwrap();
        Self { dir }
    }

    /// Asks all at once; the answers are in the order of the requests.
    fn ask(&self, requests: &[Value]) -> Vec<Value> {
        let mut program = Command::new(own_go_program("gitops").unwrap())
            .arg(self.dir.path().join("openapi.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = requests.iter().map(Value::to_string).collect::<Vec<_>>().join("\n") + "\n";
        let mut input = program.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
        let output = program.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "gitops failed");
        let text = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.len(), requests.len());
        answers
    }

    /// In which ways of comparing Argo CD finds a difference between manifests and cluster.
    async fn out_of_sync(&self, cluster: &Cluster, desired: &[Value]) -> Vec<(String, Value)> {
        let file = self.write(desired);
        let arguments = ["--server-side", "--force-conflicts", "--dry-run=server", MANAGER];
        let predicted = apply(cluster, &file, &arguments).await;
        let live = stored(cluster).await;
        let requests: Vec<Value> = desired
            .iter()
            .map(|desired| {
                let (live, predicted) = (like(&live, desired), like(&predicted, desired));
                json!({ "diff": { "desired": desired, "live": live, "predicted": predicted } })
            })
            .collect();
        let answers = self.ask(&requests);
        let ways = desired
            .iter()
            .zip(answers)
            .map(|(desired, answer)| (name(desired), answer["outOfSync"].clone()));
        ways.filter(|(_, ways)| *ways != json!([])).collect()
    }

    /// What kstatus says of every object of the namespace.
    async fn status(&self, cluster: &Cluster) -> Vec<(String, String)> {
        let live = stored(cluster).await;
        let requests: Vec<Value> = live.iter().map(|object| json!({ "status": object })).collect();
        let answers = self.ask(&requests).into_iter();
        live.iter()
            .map(name)
            .zip(answers.map(|answer| answer["status"].as_str().unwrap().to_owned()))
            .collect()
    }

    async fn status_of(&self, cluster: &Cluster, wanted: &str) -> String {
        let all = self.status(cluster).await;
        let found = all.iter().find(|(name, _)| name == wanted);
        found
            .unwrap_or_else(|| panic!("{wanted} is missing: {all:?}"))
            .1
            .clone()
    }

    /// One file of these objects.
    fn write(&self, objects: &[Value]) -> PathBuf {
        let file = self.dir.path().join("manifests.json");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        fs::write(&file, list.to_string()).unwrap();
        file
    }
}

/// Applies a file, and returns the objects as the API server answers.
async fn apply(cluster: &Cluster, file: &Path, arguments: &[&str]) -> Vec<Value> {
    let file = format!("--filename={}", file.display());
    let common = ["apply", &file, "--output=json", "--show-managed-fields"];
    let text = cluster.kubectl(&[&common, arguments].concat()).await.unwrap();
    items(&text)
}

/// Every Agent, AgentTool and WorkerPool of the namespace.
async fn stored(cluster: &Cluster) -> Vec<Value> {
    let kinds = "agents,agenttools,workerpools";
    let arguments = ["get", kinds, "--output=json", "--show-managed-fields"];
    items(&cluster.kubectl(&arguments).await.unwrap())
}

fn items(text: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(text).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// `Agent/weather`.
fn name(object: &Value) -> String {
    let part = |value: &Value| value.as_str().unwrap().to_owned();
    format!("{}/{}", part(&object["kind"]), part(&object["metadata"]["name"]))
}

fn like<'a>(objects: &'a [Value], wanted: &Value) -> &'a Value {
    let found = objects.iter().find(|object| name(object) == name(wanted));
    found.unwrap_or_else(|| panic!("{} is missing", name(wanted)))
}

fn objects(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let read = manifests::parse(file, &text).unwrap().into_iter();
    read.map(|manifest| manifest.object)
        .filter(|object| object["apiVersion"] == "steadfast.dev/v1alpha1")
        .collect()
}

fn every_list() -> Vec<Value> {
    objects(&workspace::root().join("tests/tools/gitops/every-list.yaml"))
}

fn examples() -> Vec<Value> {
    let mut found = Vec::new();
    for example in fs::read_dir(workspace::root().join("examples")).unwrap() {
        let example = example.unwrap().path();
        if example.is_dir() {
            let files = fs::read_dir(example).unwrap().map(|file| file.unwrap().path());
            found.extend(
                files
                    .filter(|file| file.extension().is_some_and(|kind| kind == "yaml"))
                    .flat_map(|file| objects(&file)),
            );
        }
    }
    assert!(found.len() > 15, "{}", found.len());
    found
}

/// The lists of a schema, as paths; what the API does not define has none.
fn lists(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if schema["type"] == "array" {
        found.insert(path.to_owned());
        lists(&schema["items"], path, found);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        lists(field, &format!("{path}.{name}"), found);
    }
}

/// The lists that an object has.
fn used_lists(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            found.insert(path.to_owned());
            for item in items {
                used_lists(item, path, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                used_lists(member, &format!("{path}.{name}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_manifest_of_every_list_uses_every_list() {
    let mut missing = BTreeSet::new();
    for definition in steadfast_crds::definitions() {
        let kind = definition.spec.names.kind.clone();
        if kind == "AgentRevision" {
            continue;
        }
        let schema = steadfast_crds::json_schema::structural_schema(&definition);
        lists(&schema["properties"]["spec"], &kind, &mut missing);
    }
    for object in every_list() {
        let mut used = BTreeSet::new();
        used_lists(&object["spec"], object["kind"].as_str().unwrap(), &mut used);
        missing.retain(|path| !used.contains(path));
    }
    assert_eq!(missing, BTreeSet::new());
}

/// Creates every Secret that the Agents name.
async fn create_secrets(cluster: &Cluster, desired: &[Value]) {
    let credentials = desired
        .iter()
        .filter_map(|object| object["spec"]["credentials"].as_array());
    let mut secrets = serde_json::Map::new();
    for credential in credentials.flatten() {
        let part = |name: &str| credential[name].as_str().unwrap().to_owned();
        secrets.entry(part("secretName")).or_insert_with(|| json!({}))[part("secretKey")] = json!("secret");
    }
    for (name, values) in secrets {
        cluster.secret(&name, values).await;
    }
}

/// Waits until the operator has accepted a tool.
async fn accepted(cluster: &Cluster, tool: &str) {
    let api = cluster.api::<AgentTool>();
    wait::until(format!("AgentTool {tool} to be Ready"), TIMEOUT, async || {
        let status = api.get(tool).await?.status.unwrap_or_default();
        let ready = find(&status.conditions, ConditionType::Ready);
        ensure!(ready.is_some_and(|ready| ready.status == "True"), "it is {ready:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Waits until the operator has written the status of an Agent.
async fn observed(cluster: &Cluster, agent: &str) {
    let api = cluster.api::<Agent>();
    wait::until(format!("the status of Agent {agent}"), TIMEOUT, async || {
        let object = api.get(agent).await?;
        let observed = object.status.and_then(|status| status.observed_generation);
        ensure!(observed == object.metadata.generation, "it is of {observed:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
#[ignore = "builds gitops-engine, two minutes: cargo xtask test --long"]
async fn argo_cd_finds_no_difference_before_and_after_a_reconciliation() {
    let ways: [(&str, &[&str]); 2] = [
        ("gitops-client-side", &[MANAGER]),
        ("gitops-server-side", &["--server-side", MANAGER]),
    ];
    for (namespace, arguments) in ways {
        let cluster = Cluster::new(namespace).await;
        let gitops = GitOps::of(&cluster).await;
        let mut desired: Vec<Value> = examples().into_iter().chain(every_list()).collect();
        for object in &mut desired {
            object["metadata"]["namespace"] = json!(namespace);
        }
        apply(&cluster, &gitops.write(&desired), arguments).await;
        assert_eq!(gitops.out_of_sync(&cluster, &desired).await, [], "before");

        create_secrets(&cluster, &desired).await;
        let operator = cluster.start_operator(LeaderElection::Disabled).await;
        for object in &desired {
            let name = object["metadata"]["name"].as_str().unwrap();
            match object["kind"].as_str().unwrap() {
                // It refers to Agents that do not exist.
                "Agent" if name == "every-list" => observed(&cluster, name).await,
                "Agent" if object["spec"]["workerPool"].is_object() => {
                    let ready = ConditionType::Ready;
                    cluster.condition(name, ready, "True", "AllConditionsMet").await;
                }
                "Agent" => cluster.make_ready(name).await,
                // It stands before its Agents.
                "WorkerPool" => cluster.make_pool_ready(name).await,
                "AgentReferenceGrant" => {}
                _ => accepted(&cluster, name).await,
            }
        }
        assert_eq!(gitops.out_of_sync(&cluster, &desired).await, [], "after");
        let states = gitops.status(&cluster).await;
        let examples = states.iter().filter(|(name, _)| name != "Agent/every-list");
        let not_current: Vec<_> = examples.filter(|(_, state)| state != "Current").collect();
        assert!(not_current.is_empty(), "{not_current:?}");

        // An edit is a difference.
        cluster
            .edit::<Agent>("haiku", json!({ "spec": { "instructions": "Edited by hand." } }))
            .await;
        let found = gitops.out_of_sync(&cluster, &desired).await;
        let every_way = json!(["two-way", "three-way", "structured merge", "server-side"]);
        assert_eq!(found, [("Agent/haiku".to_owned(), every_way)]);
        operator.stop().await;
    }
}

#[tokio::test]
#[ignore = "builds gitops-engine, two minutes: cargo xtask test --long"]
async fn kstatus_knows_each_state_of_an_agent() {
    let cluster = Cluster::new("kstatus").await;
    let gitops = GitOps::of(&cluster).await;
    let credentials = json!([{ "envVarName": "KEY", "secretName": "openai", "secretKey": "api-key" }]);
    cluster.agent("weather", json!({ "credentials": credentials })).await;
    let status = async || gitops.status_of(&cluster, "Agent/weather").await;
    assert_eq!(status().await, "InProgress", "nobody has seen it");

    let operator = cluster.start_operator(LeaderElection::Disabled).await;
    cluster
        .condition("weather", ConditionType::Ready, "False", "SecretNotFound")
        .await;
    assert_eq!(status().await, "Failed", "it waits for a Secret");

    cluster.secret("openai", json!({ "api-key": "sk-1" })).await;
    cluster.deployment("weather", |_| true).await;
    cluster
        .condition("weather", ConditionType::CredentialsResolved, "True", "Resolved")
        .await;
    assert_eq!(status().await, "InProgress", "its workers start");

    let failed = json!({
        "phase": "Pending",
        "containerStatuses": [{
            "name": "worker", "image": "worker:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } },
        }],
    });
    cluster.set_pods_status("weather", &failed).await;
    cluster
        .condition("weather", ConditionType::Ready, "False", "ImagePullFailed")
        .await;
    assert_eq!(status().await, "InProgress", "its image may be pulled yet");

    cluster.make_ready("weather").await;
    assert_eq!(status().await, "Current", "it is ready");

    cluster
        .edit::<Agent>("weather", json!({ "spec": { "instructions": "Answer {{ nothing." } }))
        .await;
    cluster
        .condition("weather", ConditionType::Accepted, "False", "InvalidTemplate")
        .await;
    assert_eq!(status().await, "Failed", "its spec is wrong");

    let scaled = json!({ "spec": { "instructions": "Answer.", "worker": { "replicas": 0 } } });
    cluster.edit::<Agent>("weather", scaled).await;
    cluster
        .condition("weather", ConditionType::Ready, "True", "ScaledToZero")
        .await;
    assert_eq!(status().await, "Current", "it shall have no worker");

    operator.stop().await;
    cluster
        .edit::<Agent>("weather", json!({ "spec": { "worker": { "replicas": 1 } } }))
        .await;
    assert_eq!(status().await, "InProgress", "its newest spec is not seen yet");

    let held = json!({ "metadata": { "finalizers": ["steadfast.dev/test"] } });
    cluster.edit::<Agent>("weather", held).await;
    cluster.delete::<Agent>("weather").await;
    assert_eq!(status().await, "Terminating", "it is being deleted");
    cluster
        .edit::<Agent>("weather", json!({ "metadata": { "finalizers": null } }))
        .await;
}

#[tokio::test]
#[ignore = "builds gitops-engine, two minutes: cargo xtask test --long"]
async fn kstatus_knows_each_state_of_a_tool() {
    let cluster = Cluster::new("kstatus-tool").await;
    let gitops = GitOps::of(&cluster).await;
    let wrong = json!({ "parameters": { "properties": { "city": { "type": "text" } } } });
    let created: AgentTool = cluster.create(tool("get-weather", wrong)).await.unwrap();
    let status = async || gitops.status_of(&cluster, "AgentTool/get-weather").await;
    assert_eq!(status().await, "InProgress", "nobody has seen it");

    // A tool is looked at whether an Agent uses it or not.
    cluster
        .create::<Agent>(agent("weather", json!({ "tools": [{ "tool": created.name_any() }] })))
        .await
        .unwrap();
    let operator = cluster.start_operator(LeaderElection::Disabled).await;
    cluster
        .condition("weather", ConditionType::ReferencesResolved, "False", "ToolNotAccepted")
        .await;
    let api = cluster.api::<AgentTool>();
    wait::until("the condition Stalled", TIMEOUT, async || {
        let status = api.get("get-weather").await?.status.unwrap_or_default();
        ensure!(
            find(&status.conditions, ConditionType::Stalled).is_some(),
            "it is {status:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(status().await, "Failed", "its schema is wrong");

    let mended = json!({ "spec": { "parameters": { "properties": { "city": { "type": "string" } } } } });
    cluster.edit::<AgentTool>("get-weather", mended).await;
    accepted(&cluster, "get-weather").await;
    assert_eq!(status().await, "Current", "it is accepted");
    operator.stop().await;
}

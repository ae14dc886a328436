//! What GitOps tools make of our resources, with their own libraries: Argo CD's
//! comparison (gitops-engine) and kstatus, with which Flux and Helm 4 wait. That no
//! default stands within a list and that a status is never absent are tested in
//! `crds/src/definition.rs` too, in milliseconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use steadfast_crds::yaml;
use steadfast_testkit::{tools::own_go_program, workspace};

/// Asks the program all at once; the answers are in the order of the requests.
fn ask(requests: &[Value]) -> Vec<Value> {
    let definitions = ["crds/agents.yaml", "crds/agenttools.yaml"].map(|file| workspace::root().join(file));
    let mut program = Command::new(own_go_program("gitops").unwrap())
        .args(definitions)
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

fn objects(file: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let documents: Vec<Value> = yaml::documents(&text).unwrap();
    documents
        .into_iter()
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

/// The object as the operator and the API server leave it.
fn reconciled(mut live: Value) -> Value {
    live["metadata"]["uid"] = json!("8a7c");
    live["metadata"]["resourceVersion"] = json!("12");
    live["metadata"]["generation"] = json!(1);
    live["metadata"]["creationTimestamp"] = json!("2026-11-27T12:00:00Z");
    live["status"] = status(&live, &[("Accepted", "True"), ("Ready", "True")]);
    live
}

fn status(object: &Value, conditions: &[(&str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status)| {
            json!({
                "type": kind, "status": status, "reason": "Any", "message": "any",
                "lastTransitionTime": "2026-11-27T12:00:00Z", "observedGeneration": 1,
            })
        })
        .collect();
    json!({ "observedGeneration": object["metadata"]["generation"], "conditions": conditions })
}

#[test]
#[ignore = "builds gitops-engine, two minutes: cargo xtask test --long"]
fn argo_cd_finds_no_difference_before_and_after_a_reconciliation() {
    let desired: Vec<Value> = examples().into_iter().chain(every_list()).collect();
    let stored = ask(&desired
        .iter()
        .map(|object| json!({ "default": object }))
        .collect::<Vec<_>>());
    let pairs = desired.iter().zip(&stored).flat_map(|(desired, live)| {
        [live.clone(), reconciled(live.clone())].map(|live| json!({ "diff": { "desired": desired, "live": live } }))
    });
    let pairs: Vec<Value> = pairs.collect();
    for (pair, answer) in pairs.iter().zip(ask(&pairs)) {
        assert_eq!(answer, json!({ "outOfSync": null }), "{}", pair["diff"]["desired"]);
    }
    // An edit is a difference.
    let mut edited = stored[0].clone();
    edited["spec"]["description"] = json!("edited by hand");
    let mut wanted = desired[0].clone();
    wanted["spec"]["description"] = json!("as in git");
    let answer = ask(&[json!({ "diff": { "desired": wanted, "live": edited } })]);
    assert_eq!(answer[0]["outOfSync"].as_array().unwrap().len(), 3, "{answer:?}");
}

#[test]
#[ignore = "builds gitops-engine, two minutes: cargo xtask test --long"]
fn kstatus_knows_each_state_of_an_agent_and_of_a_tool() {
    for object in every_list() {
        let mut stored = ask(&[json!({ "default": object })]).remove(0);
        stored["metadata"]["generation"] = json!(1);
        let with = |conditions: &[(&str, &str)]| {
            let mut object = stored.clone();
            object["status"] = status(&object, conditions);
            object
        };
        let mut edited = with(&[("Ready", "True")]);
        edited["metadata"]["generation"] = json!(2);
        let mut deleted = with(&[("Ready", "True")]);
        deleted["metadata"]["deletionTimestamp"] = json!("2026-11-27T12:00:00Z");
        let states = [
            ("nobody has seen it", stored.clone(), "InProgress"),
            (
                "its workers start",
                with(&[("Ready", "False"), ("Reconciling", "True")]),
                "InProgress",
            ),
            (
                "it waits for a Secret",
                with(&[("Ready", "False"), ("Stalled", "True")]),
                "Failed",
            ),
            ("it is ready", with(&[("Ready", "True")]), "Current"),
            ("its newest spec is not seen yet", edited, "InProgress"),
            ("it is being deleted", deleted, "Terminating"),
        ];
        let requests: Vec<Value> = states
            .iter()
            .map(|(_, object, _)| json!({ "status": object }))
            .collect();
        for ((state, _, expected), answer) in states.iter().zip(ask(&requests)) {
            assert_eq!(answer["status"], *expected, "{state}: {answer}");
        }
    }
}

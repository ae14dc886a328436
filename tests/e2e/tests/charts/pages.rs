//! What the pages for operators say is true: the chart takes every block of values, and the commands in blocks marked
//! `sh` run, in their order, against a real API server.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use steadfast_crds::yaml;
use steadfast_e2e::{
    chart::{REQUIRED, chart, helm},
    pages::{blocks, page},
};
use steadfast_testkit::{ControlPlane, tools::own_go_program, workspace};

const PAGES: [&str; 5] = ["alerts", "console", "expose", "install", "operations"];

/// The blocks with values of the chart, by their page.
fn values() -> Vec<(&'static str, String)> {
    let known = fs::read_to_string(chart("steadfast").join("values.yaml")).unwrap();
    let known: Value = yaml::from_str(&known).unwrap();
    let is_values = |block: &str| {
        let value: Value = yaml::from_str(block).unwrap();
        let names = value.as_object().unwrap();
        assert!(!names.is_empty(), "{block}");
        !names.contains_key("apiVersion") && names.keys().any(|name| !known[name].is_null())
    };
    PAGES
        .into_iter()
        .flat_map(|name| blocks(&page(name), "yaml").into_iter().map(move |block| (name, block)))
        .filter(|(_, block)| is_values(block))
        .collect()
}

#[test]
fn the_chart_takes_every_block_of_values() {
    let directory = tempfile::tempdir().unwrap();
    let values = values();
    assert!(values.len() > 12, "{} blocks", values.len());
    for (page, block) in values {
        let file = directory.path().join("values.yaml");
        fs::write(&file, &block).unwrap();
        let file = file.display().to_string();
        let arguments = ["template", "steadfast", "--kube-version=1.34", "--values", &file];
        // `--set` would win over what the block says of Temporal and Redis.
        let required: Vec<&str> = REQUIRED
            .into_iter()
            .filter(|setting| !block.starts_with(setting.split('.').next().unwrap()))
            .collect();
        let output = helm(&arguments, &chart("steadfast"), &required);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docs/{page}.md: {complaint}\n{block}");
    }
}

/// Everything that the page of operations says about a release, from its upgrade to its end.
#[tokio::test]
async fn the_commands_of_the_page_of_operations_run() {
    let cluster = ControlPlane::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    for part in ["charts", "crds", "deploy", "examples"] {
        std::os::unix::fs::symlink(workspace::root().join(part), directory.path().join(part)).unwrap();
    }
    install(&cluster, directory.path()).await;
    let commands = blocks(&page("operations"), "sh");
    assert!(commands.len() > 4, "{} blocks", commands.len());
    for block in &commands {
        let ran = cluster.shell(block, directory.path()).await;
        assert!(ran.is_ok(), "{block}\n{:#}", ran.unwrap_err());
    }
    let backup = fs::read_to_string(directory.path().join("agents.yaml")).unwrap();
    assert!(backup.contains("kind: Agent"), "{backup}");
    let left = ["get", "customresourcedefinitions", "--output=name"];
    let left = cluster.kubectl(&left).await.unwrap();
    assert!(!left.contains("steadfast.dev"), "{left}");
    let deployments = ["get", "deployments", "--all-namespaces", "--output=name"];
    assert_eq!(cluster.kubectl(&deployments).await.unwrap(), "");
}

/// A release with an agent, as it is before somebody upgrades it.
async fn install(cluster: &ControlPlane, directory: &Path) {
    // No kubelet runs the Job of a hook here.
    let required = [&REQUIRED[..], &["operator.releaseAgentsOnUninstall=false"]]
        .concat()
        .join(",");
    let script = format!(
        "helm upgrade --install steadfast-crds charts/steadfast-crds --namespace steadfast-system --create-namespace\n\
         helm upgrade --install steadfast charts/steadfast --namespace steadfast-system --set {required}\n\
         kubectl wait --for=condition=Established --timeout=30s crd --all\n\
         kubectl apply --filename examples/haiku\n"
    );
    cluster.shell(&script, directory).await.unwrap();
}

/// The health check for Argo CD on the page of operations.
fn health_check() -> String {
    let page = page("operations");
    let blocks = blocks(&page, "yaml");
    let map = blocks.iter().find(|block| block.contains("argocd-cm")).unwrap();
    let map: Value = yaml::from_str(map).unwrap();
    map["data"]["resource.customizations.health.steadfast.dev_Agent"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn argo_cd_sees_the_health_of_an_agent_in_its_conditions() {
    let condition =
        |kind: &str, status: &str| json!({"type": kind, "status": status, "message": format!("{kind} {status}")});
    let agent = |observed: i64, conditions: &[Value]| json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": conditions}});
    let cases = [
        (json!({"metadata": {"generation": 1}}), "Progressing"),
        // The status that an Agent has before the operator has seen it.
        (
            json!({"metadata": {"generation": 1}, "status": {"observedGeneration": -1}}),
            "Progressing",
        ),
        (agent(1, &[condition("Ready", "True")]), "Progressing"),
        (agent(2, &[condition("Ready", "True")]), "Healthy"),
        (
            agent(2, &[condition("Ready", "False"), condition("Reconciling", "True")]),
            "Progressing",
        ),
        (
            agent(2, &[condition("Ready", "False"), condition("Stalled", "True")]),
            "Degraded",
        ),
        (
            agent(2, &[condition("Stalled", "False"), condition("Ready", "True")]),
            "Healthy",
        ),
    ];
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("health.lua");
    fs::write(&script, health_check()).unwrap();
    let mut program = Command::new(own_go_program("argocd-health").unwrap())
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> = cases.iter().map(|(object, _)| format!("{object}\n")).collect();
    program
        .stdin
        .take()
        .unwrap()
        .write_all(lines.concat().as_bytes())
        .unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<&Value> = found.iter().map(|health| &health["status"]).collect();
    let expected: Vec<&str> = cases.iter().map(|(_, status)| *status).collect();
    assert_eq!(found, expected);
}

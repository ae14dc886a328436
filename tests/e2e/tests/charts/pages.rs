//! What the pages for operators say is true: the chart takes every block of values, and the commands in blocks marked
//! `sh` run, in their order, against a real API server. A block of kubectl or helm that is not marked needs what no API
//! server alone has.

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
    pages::{all_pages, blocks, page},
};
use steadfast_testkit::{CertificateAuthority, ControlPlane, tools::own_go_program, workspace};

/// The pages with values of the chart.
const PAGES: [&str; 8] = [
    "access",
    "alerts",
    "attachments",
    "console",
    "encryption",
    "expose",
    "install",
    "operations",
];
/// What a block of commands contains that is not marked: it needs pods that run, or another program.
const NEEDS_MORE: [&str; 7] = [
    "port-forward",
    "rollout status",
    "--for=condition=Ready",
    "--replicas=0",
    "docker ",
    "steadfast lint",
    "$ kubectl",
];

/// The blocks with values of the chart, by their page.
fn values() -> Vec<(&'static str, String)> {
    let known = fs::read_to_string(chart("steadfast").join("values.yaml")).unwrap();
    let known: Value = yaml::from_str(&known).unwrap();
    let is_values = |block: &str| {
        let documents: Vec<Value> = yaml::documents(block).unwrap();
        let [value] = documents.as_slice() else { return false };
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

/// What the chart makes of every block of values, by its page.
pub(crate) fn rendered() -> Vec<(&'static str, String)> {
    let directory = tempfile::tempdir().unwrap();
    let render = |(page, block): (&'static str, String)| {
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
        (page, String::from_utf8(output.stdout).unwrap())
    };
    values().into_iter().map(render).collect()
}

#[test]
fn the_chart_takes_every_block_of_values() {
    let rendered = rendered();
    assert!(rendered.len() > 18, "{} blocks", rendered.len());
}

#[test]
fn every_command_for_an_api_server_is_marked_to_be_run() {
    for (page, text) in all_pages() {
        for block in blocks(&text, "") {
            let is_command = |line: &str| {
                ["kubectl ", "helm "]
                    .iter()
                    .any(|program| line.trim().starts_with(program))
            };
            let needs_more = NEEDS_MORE.iter().any(|more| block.contains(more));
            assert!(
                needs_more || !block.lines().any(is_command),
                "docs/{page}.md: mark the block `sh`, or say in NEEDS_MORE what it needs\n{block}"
            );
        }
    }
}

/// Everything that the pages say about access, secrets and settings, on one cluster after the commands of the page of
/// the installation.
#[tokio::test]
async fn the_commands_of_all_other_pages_run() {
    let cluster = ControlPlane::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    link_sources(directory.path());
    let authority = CertificateAuthority::new().unwrap();
    let client = authority.client("steadfast").unwrap();
    for (file, name) in [
        (authority.certificate(), "ca.pem"),
        (client.certificate, "client.pem"),
        (client.key, "client.key"),
    ] {
        fs::copy(file, directory.path().join(name)).unwrap();
    }
    let namespaces = "kubectl create namespace team-a\nkubectl create namespace steadfast-system\n";
    cluster.shell(namespaces, directory.path()).await.unwrap();
    let (installation, others): (Vec<_>, Vec<_>) = all_pages()
        .into_iter()
        .filter(|(page, _)| page != "operations")
        .partition(|(page, _)| page == "install");
    let mut run = 0;
    for (page, text) in installation.into_iter().chain(others) {
        for block in blocks(&text, "sh") {
            // Several pages bind a role under one name, and one is about a release without ClusterRoles.
            let script = format!(
                "export REGISTRY=registry.example.com API_KEY=key\n\
                 kubectl delete rolebindings --all --namespace team-a\n\
                 kubectl delete clusterrolebinding steadfast-gateway --ignore-not-found\n{block}"
            );
            let ran = cluster.shell(&script, directory.path()).await;
            assert!(ran.is_ok(), "docs/{page}.md\n{block}\n{:#}", ran.unwrap_err());
            run += 1;
        }
    }
    assert!(run > 14, "{run} blocks");
}

/// The directories of a checkout that the pages name.
pub(crate) fn link_sources(directory: &Path) {
    for part in ["charts", "crds", "deploy", "examples"] {
        std::os::unix::fs::symlink(workspace::root().join(part), directory.join(part)).unwrap();
    }
}

/// Everything that the page of operations says about a release, from its upgrade to its end.
#[tokio::test]
async fn the_commands_of_the_page_of_operations_run() {
    let cluster = ControlPlane::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    link_sources(directory.path());
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

/// Without Helm nobody runs the Job of the chart, and an operator that is gone lets no Agent go.
#[tokio::test]
async fn the_commands_for_those_without_helm_let_agents_go() {
    let cluster = ControlPlane::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    link_sources(directory.path());
    let by_hand = blocks(&page("operations"), "");
    let by_hand = by_hand.iter().find(|block| block.contains("\"finalizers\":null"));
    let by_hand = by_hand.unwrap();
    let held = "kubectl apply --server-side --filename deploy/install.yaml\n\
        kubectl wait --for=condition=Established --timeout=30s crd --all\n\
        kubectl apply --filename examples/haiku\n\
        kubectl patch agent haiku --type=merge \
          --patch='{\"metadata\":{\"finalizers\":[\"steadfast.dev/tasks\"]},\"spec\":{\"deletion\":{\"policy\":\"Drain\",\"deadline\":\"24h\"}}}'\n\
        kubectl delete agent haiku --wait=false\n\
        kubectl get agent haiku --output=jsonpath='{.metadata.deletionTimestamp}'";
    let deleted = cluster.shell(held, directory.path()).await.unwrap();
    assert!(
        deleted.lines().last().unwrap().starts_with("20"),
        "it is held: {deleted}"
    );
    cluster.shell(by_hand, directory.path()).await.unwrap();
    let agents = cluster.kubectl(&["get", "agents", "--output=name"]).await.unwrap();
    assert_eq!(agents, "");
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

//! The charts and the examples, as Helm and a real API server see them. No pod
//! runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use steadfast_testkit::{
    ControlPlane,
    install::Example,
    tools::{GoProgram, go_program},
    workspace,
};

const REQUIRED: [&str; 3] = [
    "images.registry=localhost",
    "temporal.address=temporal:7233",
    "redis.url=redis://redis",
];

fn chart(name: &str) -> PathBuf {
    workspace::root().join("charts").join(name)
}

fn helm(arguments: &[&str], chart: &PathBuf, settings: &[&str]) -> Output {
    let mut command = Command::new(go_program(GoProgram::Helm).unwrap());
    command.args(arguments).arg(chart);
    command.args(settings.iter().flat_map(|setting| ["--set", setting]));
    command.output().unwrap()
}

fn template(settings: &[&str]) -> Output {
    helm(
        &["template", "steadfast", "--kube-version=1.34"],
        &chart("steadfast"),
        settings,
    )
}

fn complaint(output: &Output) -> String {
    assert!(
        !output.status.success(),
        "helm accepted it: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn charts_pass_a_strict_lint() {
    for name in ["steadfast", "steadfast-crds"] {
        let output = helm(&["lint", "--strict"], &chart(name), &[]);
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[test]
fn a_missing_setting_is_named() {
    for left_out in 0..REQUIRED.len() {
        let mut given = REQUIRED.to_vec();
        let missing = given.remove(left_out);
        let name = missing.split('=').next().unwrap();
        let complaint = complaint(&template(&given));
        assert!(
            complaint.contains(name) && complaint.contains("required"),
            "{missing}: {complaint}"
        );
    }
}

#[test]
fn an_unknown_setting_is_refused() {
    let settings = [&REQUIRED[..], &["gateway.replica=3"]].concat();
    let complaint = complaint(&template(&settings));
    assert!(complaint.contains("'replica' not allowed"), "{complaint}");
}

#[test]
fn an_anonymous_gateway_must_be_enabled_explicitly() {
    let rendered = |settings: &[&str]| String::from_utf8(template(settings).stdout).unwrap();
    assert!(!rendered(&REQUIRED).contains("--insecure-allow-anonymous"));
    let settings = [&REQUIRED[..], &["gateway.allowAnonymous=true"]].concat();
    assert!(rendered(&settings).contains("args: [--insecure-allow-anonymous]"));
}

#[tokio::test]
async fn an_api_server_accepts_both_charts_and_every_example() {
    let cluster = ControlPlane::start().await.unwrap();
    let install = async |name: &str, settings: &[&str]| {
        let chart = chart(name).display().to_string();
        let mut arguments = vec![
            "upgrade",
            "--install",
            name,
            &chart,
            "--namespace=steadfast-system",
            "--create-namespace",
        ];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        cluster.helm(&arguments).await.unwrap()
    };
    install("steadfast-crds", &[]).await;
    // A second time is an upgrade, and changes nothing.
    install("steadfast-crds", &[]).await;
    install("steadfast", &REQUIRED).await;

    let definitions = ["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"];
    cluster.kubectl(&definitions).await.unwrap();
    for example in Example::ALL {
        let (name, dir) = (example.name, example.dir().display().to_string());
        let applied = cluster.kubectl(&["apply", "--filename", &dir]).await;
        assert!(applied.is_ok(), "examples/{name}: {:#}", applied.unwrap_err());
    }

    // What was installed goes; what users wrote stays.
    cluster
        .helm(&["uninstall", "steadfast", "--namespace=steadfast-system"])
        .await
        .unwrap();
    cluster
        .helm(&["uninstall", "steadfast-crds", "--namespace=steadfast-system"])
        .await
        .unwrap();
    let agents = cluster.kubectl(&["get", "agents", "--output=name"]).await.unwrap();
    let mut expected: Vec<String> = Example::ALL
        .iter()
        .flat_map(|example| example.agents)
        .map(|agent| format!("agent.steadfast.dev/{agent}"))
        .collect();
    expected.sort();
    assert_eq!(agents.lines().collect::<Vec<_>>(), expected);
}

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

#[test]
fn nobody_decides_what_they_caused_unless_the_settings_say_so() {
    let rendered = |settings: &[&str]| {
        let settings = [&REQUIRED[..], settings].concat();
        String::from_utf8(template(&settings).stdout).unwrap()
    };
    let forbids = |settings: &[&str]| rendered(settings).contains("STEADFAST_FORBID_SELF_APPROVAL");
    assert!(forbids(&[]));
    assert!(!forbids(&["gateway.forbidSelfApproval=false"]));
    // The gateway refuses to start with a rule about users that it does not know.
    assert!(!forbids(&["gateway.allowAnonymous=true"]));
}

#[test]
fn the_secrets_of_temporal_and_redis_reach_all_three_programs() {
    let settings = [
        &REQUIRED[..2],
        &[
            "redis.url=rediss://redis",
            "temporal.apiKeySecret.name=key",
            "temporal.tls.serverName=frontend.example",
            "temporal.tls.caSecret.name=ca",
            "temporal.tls.clientCertificateSecret.name=client",
            "redis.auth.username=steadfast",
            "redis.auth.passwordSecret.name=password",
            "redis.tls.caSecret.name=ca",
            "redis.tls.clientCertificateSecret.name=client",
            "redis.sentinel.passwordSecret.name=sentinel",
        ],
    ]
    .concat();
    let rendered = String::from_utf8(template(&settings).stdout).unwrap();
    let documents: Vec<&str> = rendered.split("\n---\n").collect();
    let deployment = |program: &str| {
        let source = format!("# Source: steadfast/templates/{program}/deployment.yaml");
        *documents.iter().find(|document| document.contains(&source)).unwrap()
    };
    let temporal = [
        ("TEMPORAL_API_KEY", "key", "api-key"),
        ("TEMPORAL_TLS_SERVER_CA_CERT_DATA", "ca", "ca.crt"),
        ("TEMPORAL_TLS_CLIENT_CERT_DATA", "client", "tls.crt"),
        ("TEMPORAL_TLS_CLIENT_KEY_DATA", "client", "tls.key"),
    ];
    let redis = [
        ("REDIS_PASSWORD", "password", "password"),
        ("REDIS_SENTINEL_PASSWORD", "sentinel", "password"),
        ("REDIS_TLS_CA_CERT_DATA", "ca", "ca.crt"),
        ("REDIS_TLS_CLIENT_CERT_DATA", "client", "tls.crt"),
        ("REDIS_TLS_CLIENT_KEY_DATA", "client", "tls.key"),
    ];
    let own = |program: &str, (variable, secret, key): (&str, &str, &str)| {
        let expected = format!(
            "- name: {variable}\n          valueFrom:\n            secretKeyRef:\n              name: {secret}\n              key: {key}\n"
        );
        assert!(deployment(program).contains(&expected), "{program}: {variable}");
    };
    for variable in temporal {
        own("operator", variable);
        own("gateway", variable);
    }
    for variable in redis {
        own("gateway", variable);
    }
    for (variable, secret, key) in temporal.into_iter().chain(redis) {
        let argument = format!("--worker-secret-env={variable}={secret}/{key}");
        assert!(deployment("operator").contains(&argument), "{argument}");
    }
    assert!(deployment("operator").contains("--worker-env=REDIS_USERNAME=steadfast"));
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

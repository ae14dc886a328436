//! The manifests for those who do not use Helm are what the chart renders, and a real API server takes everything that
//! the chart can render, strictly: a field that it does not know is an error.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::Value;
use steadfast_crds::yaml;
use steadfast_e2e::chart::{REQUIRED, chart};
use steadfast_testkit::{
    ControlPlane,
    tools::{GoProgram, go_program},
    workspace,
};

/// Everything on, of what an API server without further definitions knows.
const EVERYTHING: [&str; 20] = [
    "operator.replicas=2",
    "operator.watchNamespaces={default,kube-public}",
    "operator.priorityClassName=system-cluster-critical",
    "ingress.enabled=true",
    "ingress.controller=ingress-nginx",
    "ingress.className=nginx",
    "ingress.hosts={agents.example.com}",
    "ingress.tls[0].secretName=tls",
    "monitoring.dashboards.enabled=true",
    "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
    "networkPolicy.clientsFrom[0].ipBlock.cidr=192.0.2.0/24",
    "networkPolicy.egress.temporal[0].ipBlock.cidr=192.0.2.0/24",
    "networkPolicy.egress.extra[0].ports[0].port=9000",
    "temporal.apiKeySecret.name=key",
    "temporal.tls.clientCertificateSecret.name=client",
    "redis.auth.passwordSecret.name=password",
    "encryption.keysSecret=keys",
    "outbound.caBundleSecret.name=authorities",
    "gateway.tokenAudiences={steadfast}",
    "telemetry.otlpEndpoint=http://collector:4317",
];

/// The objects of a text, each by kind, namespace and name.
fn objects(text: &str) -> BTreeMap<String, Value> {
    let documents: Vec<Value> = yaml::documents(text).unwrap();
    documents
        .into_iter()
        .filter(|object| !object.is_null())
        .map(|object| {
            let object = with_whole_numbers(object);
            let metadata = &object["metadata"];
            (
                format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"]),
                object,
            )
        })
        .collect()
}

/// Kustomize writes 95.0 as 95.
fn with_whole_numbers(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(
                members
                    .map(|(name, member)| (name, with_whole_numbers(member)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(with_whole_numbers).collect()),
        Value::Number(number) => {
            let text = number.to_string();
            let whole = text.strip_suffix(".0").and_then(|whole| whole.parse::<i64>().ok());
            whole.map_or(Value::Number(number), Value::from)
        }
        other => other,
    }
}

fn deploy(path: &str) -> String {
    workspace::root().join("deploy").join(path).display().to_string()
}

#[tokio::test]
async fn an_api_server_takes_all_that_the_chart_can_render_and_the_plain_manifests() {
    let cluster = ControlPlane::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let plain = deploy("install.yaml");
    let arguments = ["apply", "--server-side", "--validate=strict", "--filename", &plain];
    let applied = cluster.kubectl(&arguments).await;
    assert!(applied.is_ok(), "{:#}", applied.unwrap_err());

    let chart = chart("steadfast").display().to_string();
    let mut arguments = vec!["template", "steadfast", &chart, "--namespace=steadfast-system"];
    arguments.extend(
        REQUIRED
            .iter()
            .chain(&EVERYTHING)
            .flat_map(|setting| ["--set", *setting]),
    );
    let file = directory.path().join("everything.yaml");
    fs::write(&file, cluster.helm(&arguments).await.unwrap()).unwrap();
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
        "--dry-run=server",
        "--filename",
        file.to_str().unwrap(),
    ];
    let applied = cluster.kubectl(&arguments).await;
    assert!(applied.is_ok(), "{:#}", applied.unwrap_err());
}

pub(crate) fn kustomize(directory: &str) -> String {
    let mut kubectl = Command::new(go_program(GoProgram::Kubectl).unwrap());
    let output = kubectl.arg("kustomize").arg(deploy(directory)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_base_for_kustomize_has_what_the_plain_manifests_have_and_the_example_sets_what_is_missing() {
    let plain = objects(&fs::read_to_string(deploy("install.yaml")).unwrap());
    assert_eq!(objects(&kustomize("kustomize/base")), plain);

    let example = kustomize("kustomize/example");
    assert!(!example.contains("registry.example.com/steadfast/operator"));
    assert!(!example.contains("svc.cluster.local"), "a placeholder is left");
    let objects = objects(&example);
    assert_eq!(objects.len(), plain.len());
    for (program, replicas) in [("operator", 2), ("gateway", 2)] {
        let name = format!("\"Deployment\" \"steadfast-system\" \"steadfast-{program}\"");
        let spec = &objects[&name]["spec"];
        assert_eq!(spec["replicas"], replicas);
        let container = &spec["template"]["spec"]["containers"][0];
        let image = container["image"].as_str().unwrap();
        assert!(
            image.starts_with(&format!("images.example.org/steadfast/{program}:")),
            "{image}"
        );
        let env = container["env"].as_array().unwrap();
        let address = env.iter().find(|variable| variable["name"] == "TEMPORAL_ADDRESS");
        assert_eq!(address.unwrap()["value"], "temporal.example.org:7233");
    }
}

/// A Role in `kube-system` gives what no Role of the release can: the id of the cluster. The rest is `system:auth-delegator`.
#[tokio::test]
async fn what_a_release_without_cluster_roles_lacks_is_what_its_notes_say() {
    let cluster = ControlPlane::start().await.unwrap();
    let definitions = chart("steadfast-crds").display().to_string();
    let chart = chart("steadfast").display().to_string();
    let mut arguments = vec![
        "upgrade",
        "--install",
        "steadfast",
        &chart,
        "--namespace=steadfast-system",
        "--create-namespace",
    ];
    let narrow = ["rbac.clusterRoles=false", "operator.watchNamespaces={default}"];
    arguments.extend(REQUIRED.iter().chain(&narrow).flat_map(|setting| ["--set", *setting]));
    cluster
        .helm(&["install", "steadfast-crds", &definitions])
        .await
        .unwrap();
    let notes = cluster.helm(&arguments).await.unwrap();
    let lacks = async || {
        let mut lacks = Vec::new();
        for (program, asked) in [
            // Whether a Role gives a Namespace itself is not what `can-i` answers.
            ("operator", "get namespace kube-system"),
            ("operator", "auth can-i patch deployments"),
            ("operator", "auth can-i get secrets"),
            ("gateway", "auth can-i watch agents.steadfast.dev"),
            (
                "gateway",
                "auth can-i create localsubjectaccessreviews.authorization.k8s.io",
            ),
            ("gateway", "auth can-i create tokenreviews.authentication.k8s.io"),
            ("gateway", "auth can-i create subjectaccessreviews.authorization.k8s.io"),
        ] {
            let user = format!("--as=system:serviceaccount:steadfast-system:steadfast-{program}");
            let mut words: Vec<&str> = asked.split(' ').collect();
            words.extend(["--namespace=default", &user]);
            if cluster.kubectl(&words).await.is_err() {
                lacks.push((program, asked));
            }
        }
        lacks
    };
    assert_eq!(
        lacks().await,
        [
            ("operator", "get namespace kube-system"),
            ("gateway", "auth can-i create tokenreviews.authentication.k8s.io"),
            ("gateway", "auth can-i create subjectaccessreviews.authorization.k8s.io"),
        ]
    );
    let commands: Vec<&str> = notes
        .lines()
        .map(str::trim)
        .filter(|line| {
            line.starts_with("kubectl create") && (line.contains("kube-system") || line.contains("auth-delegator"))
        })
        .collect();
    assert_eq!(commands.len(), 3, "{notes}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        cluster.kubectl(&words).await.unwrap();
    }
    let lacks = lacks().await;
    assert!(lacks.is_empty(), "{lacks:?}");
}

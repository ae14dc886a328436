//! kubeconform compares manifests with the API server's own schemas, those of our kinds among them: what the chart
//! renders for every block of values in the pages, the whole manifests in the pages, the examples, and the overlay for
//! Kustomize. A field that a schema does not have is an error. `plain_manifests` asks the API server itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::ensure;
use serde_json::{Value, json};
use steadfast_crds::yaml;
use steadfast_e2e::{
    chart::chart,
    pages::{all_pages, blocks},
};
use steadfast_testkit::{
    ControlPlane,
    install::Example,
    tools::{GoProgram, go_program},
    wait,
};
use tempfile::TempDir;

use crate::{pages, plain_manifests};

/// Those of others: `foreign_kinds` reads them into the types of their projects.
const FOREIGN: &str = "HTTPRoute,PodMonitor,PrometheusRule,ServiceMonitor";
/// The API groups of everything that is rendered.
const GROUPS: [&str; 11] = [
    "api/v1",
    "apis/admissionregistration.k8s.io/v1",
    "apis/apiextensions.k8s.io/v1",
    "apis/apps/v1",
    "apis/autoscaling/v2",
    "apis/batch/v1",
    "apis/networking.k8s.io/v1",
    "apis/policy/v1",
    "apis/rbac.authorization.k8s.io/v1",
    "apis/scheduling.k8s.io/v1",
    "apis/steadfast.dev/v1alpha1",
];
const TIMEOUT: Duration = Duration::from_secs(30);
const KINDS: [&str; 5] = [
    "Agent",
    "AgentTool",
    "WorkerPool",
    "AgentReferenceGrant",
    "AgentRevision",
];

/// A directory with a JSON Schema for each kind, under the names by which kubeconform asks for them.
struct Schemas(TempDir);

impl Schemas {
    async fn of(cluster: &ControlPlane) -> Self {
        let directory = TempDir::new().unwrap();
        let definitions = chart("steadfast-crds").display().to_string();
        cluster
            .helm(&["install", "steadfast-crds", &definitions])
            .await
            .unwrap();
        for group in GROUPS {
            let mut schemas = read(cluster, group).await["components"]["schemas"].take();
            let members = schemas.as_object_mut().unwrap();
            members.values_mut().for_each(close);
            let of_group = format!("{}.json", group.replace('/', "_"));
            for (name, schema) in members.iter() {
                // What many groups have, such as the options of a deletion, is no kind of this one.
                let Some([kind]) = schema["x-kubernetes-group-version-kind"].as_array().map(Vec::as_slice) else {
                    continue;
                };
                let part = |name: &str| kind[name].as_str().unwrap().to_lowercase();
                let file = format!("{}_{}_{}.json", part("group"), part("kind"), part("version"));
                let reference = json!({"$ref": format!("{of_group}#/components/schemas/{name}")});
                fs::write(directory.path().join(file), reference.to_string()).unwrap();
            }
            let document = json!({"components": {"schemas": schemas}});
            fs::write(directory.path().join(of_group), document.to_string()).unwrap();
        }
        Self(directory)
    }

    /// What kubeconform says of these files: the number of valid objects, and each complaint.
    fn check(&self, files: &[PathBuf]) -> (u64, Vec<String>) {
        // The version of the core group is its name too.
        let name = r"{{ if ne .Group .ResourceAPIVersion }}{{ .Group }}{{ end }}_{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json";
        let output = Command::new(go_program(GoProgram::Kubeconform).unwrap())
            .args([
                "-strict",
                "-summary",
                "-output",
                "json",
                "-skip",
                FOREIGN,
                "-schema-location",
            ])
            .arg(format!("{}/{name}", self.0.path().display()))
            .args(files)
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let complaints = report["resources"].as_array().into_iter().flatten().map(|resource| {
            let part = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{}: {} {}: {}",
                part("filename"),
                part("kind"),
                part("name"),
                part("msg")
            )
        });
        (report["summary"]["valid"].as_u64().unwrap(), complaints.collect())
    }
}

/// The OpenAPI document of a group, which follows new definitions after a moment.
async fn read(cluster: &ControlPlane, group: &str) -> Value {
    let path = format!("/openapi/v3/{group}");
    wait::until(format!("the schemas of {group}"), TIMEOUT, async || {
        let text = cluster.kubectl(&["get", "--raw", &path]).await?;
        let own = group.contains("steadfast.dev");
        for kind in KINDS.iter().filter(|_| own) {
            ensure!(
                text.contains(&format!("\"dev.steadfast.v1alpha1.{kind}\"")),
                "{kind} is missing"
            );
        }
        Ok(serde_json::from_str(&text)?)
    })
    .await
    .unwrap()
}

/// No object has other fields than its schema, which OpenAPI leaves open.
fn close(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    let is_open = members.contains_key("additionalProperties")
        || members.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
        if !is_open {
            members.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    for nested in ["items", "additionalProperties"] {
        if let Some(schema) = members.get_mut(nested) {
            close(schema);
        }
    }
}

/// The manifests of an example: other files beside them are fixtures.
fn manifests_of(example: &Example) -> Vec<PathBuf> {
    let files = fs::read_dir(example.dir()).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect()
}

/// Whether a block is manifests of kinds that the API server has.
fn is_known(block: &str) -> bool {
    let first = block.lines().find_map(|line| line.strip_prefix("apiVersion: "));
    first.is_some_and(|version| {
        GROUPS
            .iter()
            .any(|group| group.split_once('/').is_some_and(|(_, known)| known == version))
    })
}

fn count(file: &Path) -> usize {
    let documents: Vec<Value> = yaml::documents(&fs::read_to_string(file).unwrap()).unwrap();
    let own = |object: &&Value| !object.is_null() && !FOREIGN.split(',').any(|kind| object["kind"] == kind);
    documents.iter().filter(own).count()
}

#[tokio::test]
async fn what_any_page_sets_and_every_example_fit_the_schemas_of_the_api_server() {
    let cluster = ControlPlane::start().await.unwrap();
    let schemas = Schemas::of(&cluster).await;
    let directory = TempDir::new().unwrap();
    let mut files: Vec<PathBuf> = Example::ALL.iter().flat_map(manifests_of).collect();
    let write = |name: String, text: String| {
        let file = directory.path().join(name).with_extension("yaml");
        fs::write(&file, text).unwrap();
        file
    };
    files.push(write(
        "overlay".to_owned(),
        plain_manifests::kustomize("kustomize/example"),
    ));
    for (number, (page, rendered)) in pages::rendered().into_iter().enumerate() {
        files.push(write(format!("{page}-{number}"), rendered));
    }
    for (page, text) in all_pages() {
        let manifests = blocks(&text, "yaml").into_iter().filter(|block| is_known(block));
        files.extend(
            manifests
                .enumerate()
                .map(|(number, block)| write(format!("{page}-manifest-{number}"), block)),
        );
    }
    let expected: usize = files.iter().map(|file| count(file)).sum();
    let (valid, complaints) = schemas.check(&files);
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert_eq!(usize::try_from(valid).unwrap(), expected);

    // A field in a wrong place is found, in a kind of Kubernetes and in one of ours.
    let haiku = fs::read_to_string(Example::named("haiku").unwrap().dir().join("agent.yaml")).unwrap();
    let wrong = [
        write(
            "agent".to_owned(),
            haiku.replace("  model:\n", "  modelName: m\n  model:\n"),
        ),
        write(
            "service".to_owned(),
            "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 1, targetport: http}]}}"
                .to_owned(),
        ),
    ];
    let (valid, complaints) = schemas.check(&wrong);
    assert_eq!((valid, complaints.len()), (0, 2), "{complaints:#?}");
    assert!(
        complaints
            .iter()
            .any(|complaint| complaint.contains("'modelName' not allowed")),
        "{complaints:#?}"
    );
    assert!(
        complaints
            .iter()
            .any(|complaint| complaint.contains("'targetport' not allowed")),
        "{complaints:#?}"
    );
}

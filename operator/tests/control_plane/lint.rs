//! `lint` says of each manifest what a cluster says: the API server that refuses
//! it, or the operator with a condition.

use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Resource,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use steadfast_crds::{
    Agent, AgentTool, WorkerPool,
    conditions::{ConditionType, Reason},
    manifests::{self, ManifestError},
};
use steadfast_operator::lint::{Diagnostic, Report, lint};
use steadfast_testkit::{
    bad_manifests::{self, BadManifest, Verdict},
    wait,
};

use crate::harness::{Cluster, TIMEOUT};

/// What manifests alone decide; the others depend on pods and Temporal.
const DECIDED_BY_MANIFESTS: [ConditionType; 3] = [
    ConditionType::Accepted,
    ConditionType::ReferencesResolved,
    ConditionType::CredentialsResolved,
];

/// After so many wrong manifests an Agent that is right is edited.
const BATCH: usize = 25;
/// A message may quote a name of 253 characters.
const MAXIMUM_MESSAGE_BYTES: usize = 600;

/// A condition that is false: type, reason and message.
type Unmet = (String, String, String);

#[tokio::test]
async fn lint_gives_the_reasons_and_messages_of_the_cluster_where_other_agents_are_served() {
    let (cluster, operator) = Cluster::with_operator("lint").await;
    let bad = bad_manifests::all();
    for object in bad_manifests::surroundings() {
        create(&cluster, object).await.unwrap();
    }
    for (_, object) in bad_manifests::unusual() {
        create(&cluster, object).await.unwrap();
    }
    cluster.agent("served", json!({})).await;
    cluster.make_ready("served").await;
    let before = cluster.deployment("served", |_| true).await;
    let report = lint(&parsed(&bad), &cluster.namespace).await.unwrap();
    assert!(report.checked > bad.len());

    let mut wrong = Vec::new();
    let mut refusals = Vec::new();
    for (number, batch) in bad.chunks(BATCH).enumerate() {
        for manifest in batch {
            refusals.push(create(&cluster, manifest.object.clone()).await.err());
        }
        is_served(&cluster, number).await;
    }
    // One that refers to another may have to wait for it: all are there now.
    for (manifest, refusal) in bad.iter().zip(refusals) {
        wrong.extend(difference(&cluster, manifest, refusal, &report).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let about_surroundings = report.diagnostics.iter().filter(|told| {
        !bad.iter()
            .any(|bad| bad.kind == told.kind && bad.name == told.object.name)
    });
    assert_eq!(about_surroundings.count(), 0);
    for (name, _) in bad_manifests::unusual() {
        cluster
            .condition(name, ConditionType::Ready, "True", "ScaledToZero")
            .await;
    }
    let after = cluster.deployment("served", |_| true).await;
    assert_eq!(after.metadata.generation, before.metadata.generation);
    operator.stop().await;
}

#[tokio::test]
async fn what_cannot_be_decoded_is_told_and_so_is_who_refers_to_it() {
    let (cluster, operator) = Cluster::with_operator("undecodable").await;
    cluster.agent("served", json!({})).await;
    cluster.make_ready("served").await;
    let bad = bad_manifests::too_deep();
    for manifest in &bad {
        create(&cluster, manifest.object.clone()).await.unwrap();
    }
    is_served(&cluster, 0).await;
    for manifest in &bad {
        let Verdict::Unmet(condition, reason, start) = manifest.verdict else {
            panic!("{manifest:?}");
        };
        let expected = (condition.as_str().to_owned(), reason.as_str().to_owned());
        let unmet = until_told(&cluster, manifest, &expected).await.unwrap();
        assert!(unmet[0].2.starts_with(start), "{}: {unmet:?}", manifest.name);
    }
    operator.stop().await;
}

/// An edit of an Agent that is right is carried out, and it is Ready as before.
async fn is_served(cluster: &Cluster, batch: usize) {
    let change = json!({ "spec": { "instructions": format!("Answer after batch {batch}.") } });
    cluster.edit::<Agent>("served", change).await;
    cluster.revision(&format!("served-{}", batch + 2)).await;
    cluster
        .condition("served", ConditionType::Ready, "True", "AllConditionsMet")
        .await;
}

/// How what becomes of a manifest differs from its verdict, or from what `lint` says.
async fn difference(
    cluster: &Cluster,
    manifest: &BadManifest,
    refusal: Option<String>,
    report: &Report,
) -> Option<String> {
    let told: Vec<&Diagnostic> = report
        .diagnostics
        .iter()
        .filter(|told| told.kind == manifest.kind && told.object.name == manifest.name)
        .collect();
    if let Some(long) = told.iter().find(|told| told.message.len() > MAXIMUM_MESSAGE_BYTES) {
        return Some(format!("{}: nobody reads {} bytes", manifest.name, long.message.len()));
    }
    let found = match (manifest.verdict, refusal) {
        (Verdict::Refused(text), Some(refusal)) => {
            let both = refusal.contains(text) && told.iter().any(|told| told.message.contains(text));
            if both && told.iter().all(|told| told.condition.is_none()) {
                return None;
            }
            refusal
        }
        (Verdict::Unmet(condition, reason, start), None) => {
            let expected = (condition.as_str().to_owned(), reason.as_str().to_owned());
            let told: Vec<Unmet> = told.iter().copied().map(of_diagnostic).collect();
            let unmet = match until_told(cluster, manifest, &expected).await {
                Ok(unmet) => unmet,
                Err(error) => return Some(format!("{error:#}")),
            };
            let begins = unmet
                .iter()
                .any(|(_, why, message)| *why == expected.1 && message.starts_with(start));
            if begins && says_the_same(&unmet, &told) {
                return None;
            }
            format!("{unmet:#?}")
        }
        (_, refusal) => format!("{refusal:?}"),
    };
    Some(format!(
        "{} {}: {found}\n  and not {:?}\n  lint: {told:#?}",
        manifest.kind, manifest.name, manifest.verdict
    ))
}

#[test]
fn a_file_with_an_object_that_is_nested_too_deeply_is_not_read() {
    for bad in bad_manifests::too_deep() {
        if matches!(bad.verdict, Verdict::Unmet(_, Reason::Malformed, _)) {
            let error = manifests::parse(Path::new("deep.yaml"), &format!("{:#}", bad.object)).unwrap_err();
            assert!(matches!(error, ManifestError::Parse { .. }), "{}: {error}", bad.name);
        }
    }
}

/// Creates an object as `kubectl apply` does: unknown fields are refused. The error is the server's message.
async fn create(cluster: &Cluster, object: Value) -> Result<(), String> {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let path = DynamicObject::url_path(&resource, Some(&cluster.namespace));
    // As text: an object may be nested too deeply for our parser.
    let request = http::Request::post(format!("{path}?fieldValidation=Strict"))
        .header("Content-Type", "application/json")
        .body(object.to_string().into_bytes())
        .unwrap();
    match cluster.client.request_text(request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(error) => panic!("{kind}: {error}"),
    }
}

/// All manifests as one file.
fn parsed(bad: &[BadManifest]) -> Vec<manifests::Manifest> {
    let own = bad.iter().map(|manifest| manifest.object.clone());
    let right = bad_manifests::unusual().into_iter().map(|(_, object)| object);
    let documents: Vec<String> = bad_manifests::surroundings()
        .into_iter()
        .chain(right)
        .chain(own)
        .map(|object| format!("{object:#}"))
        .collect();
    manifests::parse(Path::new("all.yaml"), &documents.join("\n---\n")).unwrap()
}

fn of_diagnostic(told: &Diagnostic) -> Unmet {
    let condition = told.condition.map_or("", ConditionType::as_str);
    (condition.to_owned(), told.reason.to_owned(), told.message.clone())
}

fn says_the_same(unmet: &[Unmet], told: &[Unmet]) -> bool {
    let mut pairs = unmet.iter().zip(told);
    unmet.len() == told.len()
        && pairs.all(|(ours, theirs)| {
            // The size of a revision depends on the install id, which no manifest has.
            let message = ours.1 == Reason::RevisionTooLarge.as_str() || ours.2 == theirs.2;
            (&ours.0, &ours.1) == (&theirs.0, &theirs.1) && message
        })
}

/// Waits until the expected condition is false, and returns all that are.
async fn until_told(
    cluster: &Cluster,
    manifest: &BadManifest,
    expected: &(String, String),
) -> anyhow::Result<Vec<Unmet>> {
    let (condition, reason) = expected;
    wait::until(
        format!("{condition}=False/{reason} of {}", manifest.name),
        TIMEOUT,
        async || {
            let conditions = match manifest.kind {
                "Agent" => conditions::<Agent>(cluster, manifest.name).await?,
                "WorkerPool" => conditions::<WorkerPool>(cluster, manifest.name).await?,
                _ => conditions::<AgentTool>(cluster, manifest.name).await?,
            };
            let unmet = conditions.into_iter().filter(|found| {
                let decided = DECIDED_BY_MANIFESTS
                    .iter()
                    .any(|decided| decided.as_str() == found.type_);
                decided && found.status == "False"
            });
            let unmet: Vec<Unmet> = unmet.map(|found| (found.type_, found.reason, found.message)).collect();
            let told = unmet.iter().any(|(type_, why, _)| (type_, why) == (condition, reason));
            anyhow::ensure!(told, "it has {unmet:?}");
            Ok(unmet)
        },
    )
    .await
}

/// The conditions alone: a spec may be nested too deeply for our parser.
async fn conditions<K>(cluster: &Cluster, name: &str) -> anyhow::Result<Vec<Condition>>
where
    K: Resource<DynamicType = ()>,
{
    let path = format!("{}/{name}/status", K::url_path(&(), Some(&cluster.namespace)));
    let request = http::Request::get(path).body(Vec::new())?;
    let text = cluster.client.request_text(request).await?;
    let conditions = text
        .rfind("\"conditions\":")
        .map(|start| &text[start + "\"conditions\":".len()..]);
    let Some(conditions) = conditions else {
        return Ok(Vec::new());
    };
    let mut values = serde_json::Deserializer::from_str(conditions).into_iter();
    Ok(values.next().transpose()?.unwrap_or_default())
}

//! `lint` says of each manifest what a cluster says: the API server that refuses
//! it, or the operator with a condition.

use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Resource,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;
use steadfast_crds::{
    Agent, AgentTool,
    conditions::{ConditionType, Reason},
    manifests::{self, ManifestError},
};
use steadfast_operator::lint::{Diagnostic, lint};
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

/// A condition that is false: type, reason and message.
type Unmet = (String, String, String);

#[tokio::test]
async fn lint_gives_the_reasons_and_messages_of_the_cluster() {
    let (cluster, operator) = Cluster::with_operator("lint").await;
    let bad = bad_manifests::all();
    for object in bad_manifests::surroundings() {
        create(&cluster, object).await.unwrap();
    }
    let mut refusals = Vec::new();
    for manifest in &bad {
        refusals.push(create(&cluster, manifest.object.clone()).await.err());
    }
    let report = lint(&parsed(&bad), &cluster.namespace).await.unwrap();
    assert!(report.checked > bad.len());

    let mut wrong = Vec::new();
    for (manifest, refusal) in bad.iter().zip(refusals) {
        let told: Vec<&Diagnostic> = report
            .diagnostics
            .iter()
            .filter(|told| told.kind == manifest.kind && told.object.name == manifest.name)
            .collect();
        match (manifest.verdict, refusal) {
            (Verdict::Refused(text), Some(refusal)) => {
                let both = refusal.contains(text) && told.iter().any(|told| told.message.contains(text));
                if !both || told.iter().any(|told| told.condition.is_some()) {
                    wrong.push(format!("{}: {refusal}\n  lint: {told:#?}", manifest.name));
                }
            }
            (Verdict::Unmet(condition, reason), None) => {
                let expected = (condition.as_str().to_owned(), reason.as_str().to_owned());
                let told: Vec<Unmet> = told.into_iter().map(of_diagnostic).collect();
                let unmet = until_told(&cluster, manifest, &expected).await;
                if !says_the_same(&unmet, &told) {
                    wrong.push(format!("{}: {unmet:#?}\n  lint: {told:#?}", manifest.name));
                }
            }
            (verdict, refusal) => wrong.push(format!("{}: {verdict:?}, but {refusal:?}", manifest.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let about_surroundings = report.diagnostics.iter().filter(|told| {
        !bad.iter()
            .any(|bad| bad.kind == told.kind && bad.name == told.object.name)
    });
    assert_eq!(about_surroundings.count(), 0);
    operator.stop().await;
}

#[test]
fn a_file_with_an_object_that_is_nested_too_deeply_is_not_read() {
    for bad in bad_manifests::too_deep() {
        if bad.verdict == Verdict::Unmet(ConditionType::Accepted, Reason::Malformed) {
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
    let documents: Vec<String> = bad_manifests::surroundings()
        .into_iter()
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
async fn until_told(cluster: &Cluster, manifest: &BadManifest, expected: &(String, String)) -> Vec<Unmet> {
    let (condition, reason) = expected;
    wait::until(
        format!("{condition}=False/{reason} of {}", manifest.name),
        TIMEOUT,
        async || {
            let conditions = match manifest.kind {
                "Agent" => conditions::<Agent>(cluster, manifest.name).await?,
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
    .unwrap()
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

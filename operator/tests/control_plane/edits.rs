//! Edits of the table on a real API server: one of each effect on each kind. The others
//! are proven without one, in `tests/edits`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use steadfast_crds::{Agent, conditions::ConditionType, manifests};
use steadfast_testkit::{
    edits::{self, Edit, Effect, OBJECTS, Part},
    wait,
};

use crate::harness::{Cluster, TIMEOUT};

/// How often each object was changed: revisions of Agents, and generations of Deployments, by `Agent/name` or
/// `WorkerPool/name`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    revisions: BTreeMap<String, i64>,
    generations: BTreeMap<String, i64>,
}

#[tokio::test]
async fn an_edit_of_each_kind_and_effect_changes_what_the_table_says_and_restarts_nothing_else() {
    let (cluster, operator) = Cluster::with_operator("edits").await;
    let mut objects = objects();
    for object in &objects {
        let api = api(&cluster, object);
        let object = serde_json::from_value(object.clone()).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    let mut expected = Counts::at_first(&objects);
    expected.reached(&cluster, "at first").await;
    for edit in representatives() {
        let index = objects.iter().position(|object| edit.fits(object)).unwrap();
        let edited = edit.applied(&objects[index]).unwrap();
        let name = edited["metadata"]["name"].as_str().unwrap();
        let replaced = json!([{"op": "replace", "path": "/spec", "value": edited["spec"]}]);
        let patch = Patch::Json::<()>(serde_json::from_value(replaced).unwrap());
        let result = api(&cluster, &edited)
            .patch(name, &PatchParams::default(), &patch)
            .await;
        match (edit.effect, result) {
            (Effect::Refused(message), Err(kube::Error::Api(status))) => {
                assert!(status.message.contains(message), "{}: {status}", edit.field);
                continue;
            }
            (Effect::Refused(_), result) => panic!("{}: {result:?}", edit.field),
            (_, result) => drop(result.unwrap()),
        }
        expected.add(&edit.expected_changes(&objects, name));
        expected.reached(&cluster, edit.field).await;
        objects[index] = edited;
    }
    // When a later Agent has its Deployment, whatever the edits caused has been done.
    cluster.agent("later", json!({})).await;
    cluster.deployment("later", |_| true).await;
    expected.revisions.insert("Agent/later".to_owned(), 1);
    expected.generations.insert("Agent/later".to_owned(), 1);
    expected.reached(&cluster, "at last").await;
    cluster
        .condition("edited", ConditionType::CredentialsResolved, "True", "Resolved")
        .await;
    operator.stop().await;
}

/// The first edit of each effect on each kind.
fn representatives() -> Vec<Edit> {
    let mut seen = BTreeSet::new();
    let mut edits = edits::all();
    edits.retain(|edit| edit.is_made_here() && seen.insert((edit.kind, edit.effect)));
    assert!(edits.len() >= 12, "{edits:#?}");
    edits
}

/// The objects of the table; what the others refer to comes first.
fn objects() -> Vec<Value> {
    let manifests = manifests::parse(Path::new("objects.yaml"), OBJECTS).unwrap();
    let mut objects: Vec<Value> = manifests.into_iter().map(|manifest| manifest.object).collect();
    objects.sort_by_key(|object| match object["kind"].as_str() {
        Some("Agent") => 2,
        Some("AgentTool" | "WorkerPool") => 1,
        _ => 0,
    });
    objects
}

fn api(cluster: &Cluster, object: &Value) -> kube::Api<DynamicObject> {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    kube::Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource)
}

impl Counts {
    /// Each Agent has one revision, and each Agent and WorkerPool with pods a Deployment that was written once.
    fn at_first(objects: &[Value]) -> Self {
        let mut counts = Self::default();
        for object in objects {
            let kind = object["kind"].as_str().unwrap();
            let name = format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap());
            if kind == "Agent" {
                counts.revisions.insert(name.clone(), 1);
            }
            let has_pods = kind == "Agent" && object["spec"]["workerPool"].is_null();
            if has_pods || kind == "WorkerPool" {
                counts.generations.insert(name, 1);
            }
        }
        counts
    }

    fn add(&mut self, changes: &BTreeSet<(String, Part)>) {
        for (object, part) in changes {
            let count = match part {
                Part::Revision => self.revisions.get_mut(object),
                Part::Pods | Part::Replicas => self.generations.get_mut(object),
                Part::Schedules | Part::Access => continue,
            };
            *count.unwrap() += 1;
        }
    }

    async fn of(cluster: &Cluster) -> anyhow::Result<(Self, bool)> {
        let mut counts = Self::default();
        let mut observed = true;
        for agent in cluster.api::<Agent>().list(&ListParams::default()).await? {
            let status = agent.status.clone().unwrap_or_default();
            observed &= status.observed_generation == agent.metadata.generation;
            let revision = status.revision.unwrap_or_default();
            counts.revisions.insert(format!("Agent/{}", agent.name_any()), revision);
        }
        for deployment in cluster.api::<Deployment>().list(&ListParams::default()).await? {
            let name = deployment.name_any();
            let name = match name.split_once('-') {
                Some(("pool", name)) => format!("WorkerPool/{name}"),
                Some(("agent", name)) => format!("Agent/{name}"),
                _ => name,
            };
            let generation = deployment.metadata.generation.unwrap_or_default();
            counts.generations.insert(name, generation);
        }
        Ok((counts, observed))
    }

    /// Waits until the cluster is as this says, and every Agent has been observed.
    async fn reached(&self, cluster: &Cluster, when: &str) {
        wait::until(format!("the objects after {when}"), TIMEOUT, || async {
            let (found, observed) = Self::of(cluster).await?;
            anyhow::ensure!(found == *self && observed, "{found:#?}, and not {self:#?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

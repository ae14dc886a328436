//! Everything that the operator makes of the objects of the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::{Value, json};
use steadfast_crds::{Agent, WorkerPool, manifests};
use steadfast_operator::{
    agents::{
        build::{Desired, RevisionPlan, WorkerObjects, build, worker_objects},
        dereference::{self, dereference},
        identity::WorkerOwner,
        manifest_source::ManifestSource,
        revision_history::RevisionHistory,
        validate::validate,
    },
    hashing::keyed_hash::KeyedHash,
    kube::namespaced_name::NamespacedName,
    pools,
    settings::{ImagePullPolicy, Settings},
};
use steadfast_testkit::edits::{OBJECTS, Part};

const NAMESPACE: &str = "team";

/// All that is made, by object and part.
pub(crate) struct World {
    /// What is wrong with the objects.
    pub(crate) errors: Vec<String>,
    parts: BTreeMap<(String, Part), Value>,
    histories: BTreeMap<String, RevisionHistory>,
}

/// The objects of the table.
pub(crate) fn objects() -> Vec<Value> {
    let manifests = manifests::parse(Path::new("objects.yaml"), OBJECTS).unwrap();
    manifests.into_iter().map(|manifest| manifest.object).collect()
}

pub(crate) fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

impl World {
    /// What is made of the objects, when the Agents have these revisions already.
    pub(crate) async fn built(objects: &[Value], histories: &BTreeMap<String, RevisionHistory>) -> Self {
        let hash = KeyedHash::new(b"key").unwrap();
        let text: Vec<String> = objects.iter().map(ToString::to_string).collect();
        let manifests = manifests::parse(Path::new("objects.yaml"), &text.join("\n---\n")).unwrap();
        let mut source = ManifestSource::new(&manifests, NAMESPACE, &hash).unwrap();
        for (agent, history) in histories {
            source.set_history(NamespacedName::new(NAMESPACE, agent), history.clone());
        }
        let mut world = Self {
            errors: Vec::new(),
            parts: BTreeMap::new(),
            histories: BTreeMap::new(),
        };
        for manifest in &manifests {
            if manifest.is::<Agent>() {
                world.add_agent(manifest.decode().unwrap(), &source, &hash).await;
            } else if manifest.is::<WorkerPool>() {
                world.add_pool(manifest.decode().unwrap(), &source, &hash).await;
            }
        }
        world
    }

    async fn add_agent(&mut self, mut agent: Agent, source: &ManifestSource, hash: &KeyedHash) {
        agent.metadata.namespace = Some(NAMESPACE.to_owned());
        let name = agent.metadata.name.clone().unwrap();
        let settings = settings();
        let dereferenced = dereference(source, &agent, &settings).await.unwrap();
        let validated = validate(&agent, &dereferenced, &settings, hash).unwrap();
        let errors = validated
            .errors
            .iter()
            .map(|error| format!("{name}: {}", error.message));
        self.errors.extend(errors);
        let desired = build(&validated, &dereferenced.history, &settings);
        let Desired {
            revision,
            schedules,
            workers,
        } = desired;
        let object = format!("Agent/{name}");
        self.set(
            &object,
            Part::Revision,
            json!(matches!(revision, RevisionPlan::Create { .. })),
        );
        self.set(&object, Part::Schedules, json!(format!("{schedules:?}")));
        if let Some(workers) = workers {
            self.add_workers(&object, workers);
        }
        if let RevisionPlan::Create { revision, .. } = revision {
            self.histories
                .insert(name, RevisionHistory::of_newest(&revision.spec).unwrap());
        }
    }

    async fn add_pool(&mut self, mut pool: WorkerPool, source: &ManifestSource, hash: &KeyedHash) {
        pool.metadata.namespace = Some(NAMESPACE.to_owned());
        let owner = WorkerOwner::of_pool(&pool);
        let names = pool.spec.credentials.iter().map(|credential| &credential.secret_name);
        let secrets = dereference::secrets(source, NAMESPACE, names).await.unwrap();
        let (workers, errors) = pools::validate::validate(&pool, &secrets, &settings(), hash).unwrap();
        let errors = errors.iter().map(|error| format!("{}: {}", owner.key, error.message));
        self.errors.extend(errors);
        let object = format!("WorkerPool/{}", owner.key.name);
        if let Some(workers) = workers {
            self.add_workers(&object, worker_objects(&owner, &workers, &settings()));
        }
    }

    fn add_workers(&mut self, object: &str, workers: WorkerObjects) {
        let WorkerObjects {
            service_account,
            role,
            role_binding,
            deployment,
            // No cluster, no version before.
            old_versions: _,
        } = workers;
        let mut deployment = json!(deployment);
        let template = deployment["spec"]["template"].take();
        self.set(object, Part::Pods, template);
        self.set(object, Part::Replicas, deployment);
        self.set(object, Part::Access, json!([service_account, role, role_binding]));
    }

    fn set(&mut self, object: &str, part: Part, value: Value) {
        self.parts.insert((object.to_owned(), part), value);
    }

    /// The revisions that were made.
    pub(crate) fn histories(&self) -> BTreeMap<String, RevisionHistory> {
        self.histories.clone()
    }

    /// The parts that differ.
    pub(crate) fn changes_since(&self, before: &Self) -> BTreeSet<(String, Part)> {
        let keys = self.parts.keys().chain(before.parts.keys());
        keys.filter(|key| self.parts.get(key) != before.parts.get(key))
            .cloned()
            .collect()
    }
}

fn settings() -> Settings {
    Settings {
        install_id: "demo".to_owned(),
        worker_image: "worker:1".to_owned(),
        image_pull_policy: ImagePullPolicy::IfNotPresent,
        worker_env: Vec::new(),
        worker_secret_env: Vec::new(),
        worker_encryption: None,
        allow_service_account_name: false,
    }
}

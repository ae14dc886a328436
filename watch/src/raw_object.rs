//! An object of any kind, with its metadata decoded and the rest as text.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::{
    Resource,
    core::{ApiResource, DynamicResourceScope, PartialObjectMeta},
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object of any kind. Reading it from a response never fails because of what the object contains, however deep:
/// the parser skips the text without recursion.
#[derive(Clone)]
pub struct RawObject {
    metadata: ObjectMeta,
    json: Box<RawValue>,
}

impl RawObject {
    /// The object as the API server sent it.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get()
    }

    /// The metadata alone, as the type that stands for objects without content.
    #[must_use]
    pub fn into_metadata<K>(self) -> PartialObjectMeta<K> {
        PartialObjectMeta {
            types: None,
            metadata: self.metadata,
            _phantom: std::marker::PhantomData,
        }
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        // The API server checks metadata itself. Without a name, decoding reports what is wrong.
        let metadata =
            serde_json::from_str::<Parts>(json.get()).map_or_else(|_| ObjectMeta::default(), ObjectMeta::from);
        Ok(Self { metadata, json })
    }
}

/// The object may hold secrets and the prompts of others: only its name is shown.
impl fmt::Debug for RawObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawObject")
            .field("namespace", &self.metadata.namespace)
            .field("name", &self.metadata.name)
            .finish_non_exhaustive()
    }
}

impl Resource for RawObject {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[derive(Deserialize)]
struct Parts {
    metadata: Metadata,
}

/// The metadata without `managedFields`: nobody reads them, they are often the largest part of an object, and they are
/// as deep as the object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    generate_name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
}

impl From<Parts> for ObjectMeta {
    fn from(Parts { metadata }: Parts) -> Self {
        Self {
            name: metadata.name,
            generate_name: metadata.generate_name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            creation_timestamp: metadata.creation_timestamp,
            deletion_timestamp: metadata.deletion_timestamp,
            labels: metadata.labels,
            annotations: metadata.annotations,
            owner_references: metadata.owner_references,
            finalizers: metadata.finalizers,
            ..Self::default()
        }
    }
}

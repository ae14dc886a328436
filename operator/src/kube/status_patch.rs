//! Writes a status: the whole of it, by server-side apply, to the one object
//! that it describes and to no later object of the same name.

use std::fmt::Debug;

use kube::{
    Api, Client, Resource,
    api::{ObjectMeta, Patch, PatchParams},
    core::{ApiResource, NamespaceResourceScope},
};
use serde::Serialize;
use steadfast_watch::RawObject;

use crate::MANAGER;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusPatch<'a, S> {
    api_version: &'a str,
    kind: &'a str,
    metadata: PatchMetadata<'a>,
    status: &'a S,
}

#[derive(Debug, Serialize)]
struct PatchMetadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

/// The result of a status write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The API server stored the status.
    Stored,
    /// The object was deleted; another object may have its name.
    ObjectGone,
}

/// The object that a status describes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    resource: ApiResource,
    namespace: String,
    name: String,
    uid: Option<String>,
}

impl Target {
    /// The object of kind `K` with this metadata.
    pub(crate) fn of<K>(metadata: &ObjectMeta) -> Self
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Self {
            resource: ApiResource::erase::<K>(&()),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone(),
        }
    }

    /// The object as it is now; `None` if it was deleted, and another object may have its name.
    pub(crate) async fn fetch(&self, client: &Client) -> Result<Option<RawObject>, kube::Error> {
        let object = self.api(client).get_opt(&self.name).await?;
        Ok(object.filter(|object| object.meta().uid == self.uid))
    }

    /// The answers of the API server are not decoded: the object may be one that cannot be.
    fn api(&self, client: &Client) -> Api<RawObject> {
        Api::namespaced_with(client.clone(), &self.namespace, &self.resource)
    }
}

/// Stores `status` in the target.
pub(crate) async fn write<S>(client: &Client, target: &Target, status: &S) -> Result<Written, kube::Error>
where
    S: Serialize + Debug,
{
    let patch = StatusPatch {
        api_version: &target.resource.api_version,
        kind: &target.resource.kind,
        metadata: PatchMetadata {
            name: &target.name,
            uid: target.uid.as_deref(),
        },
        status,
    };
    let parameters = PatchParams::apply(MANAGER).force();
    match target
        .api(client)
        .patch_status(&target.name, &parameters, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => Ok(Written::Stored),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(Written::ObjectGone),
        Err(error) => Err(error),
    }
}

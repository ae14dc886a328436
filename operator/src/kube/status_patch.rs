//! Writes a status: the whole of it, by server-side apply, to the one object
//! that it describes and to no later object of the same name.

use std::{borrow::Cow, fmt::Debug};

use kube::{
    Api, Resource,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::MANAGER;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusPatch<'a, S> {
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    metadata: PatchMetadata,
    status: &'a S,
}

#[derive(Debug, Serialize)]
struct PatchMetadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
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
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    name: String,
    uid: Option<String>,
}

impl Target {
    /// An object of kind `K`.
    pub(crate) fn new<K: Resource<DynamicType = ()>>(name: impl Into<String>, uid: Option<String>) -> Self {
        Self {
            api_version: K::api_version(&()),
            kind: K::kind(&()),
            name: name.into(),
            uid,
        }
    }

    /// The object of kind `K` with this metadata.
    pub(crate) fn of<K: Resource<DynamicType = ()>>(metadata: &ObjectMeta) -> Self {
        Self::new::<K>(metadata.name.clone().unwrap_or_default(), metadata.uid.clone())
    }
}

/// Stores `status` in the target.
pub(crate) async fn write<K, S>(api: &Api<K>, target: Target, status: &S) -> Result<Written, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
    S: Serialize + Debug,
{
    let Target {
        api_version,
        kind,
        name,
        uid,
    } = target;
    let metadata = PatchMetadata {
        name: name.clone(),
        uid,
    };
    let patch = StatusPatch {
        api_version,
        kind,
        metadata,
        status,
    };
    match api
        .patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch))
        .await
    {
        Ok(_) => Ok(Written::Stored),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(Written::ObjectGone),
        Err(error) => Err(error),
    }
}

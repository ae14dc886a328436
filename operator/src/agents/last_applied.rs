//! The last manifest that this process applied for each object, so that an
//! object is not applied again while it is unchanged.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use kube::ResourceExt;

use crate::{hashing::content_digest, kube::namespaced_name::NamespacedName};

/// The last applied manifests, by kind and name of the object.
#[derive(Debug, Default)]
pub(crate) struct LastApplied(Mutex<HashMap<(&'static str, NamespacedName), AppliedVersion>>);

/// A manifest, and the version of the object after it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppliedVersion {
    /// Digest of the manifest.
    pub(crate) manifest: String,
    /// Version of the object, see [`version_of`].
    pub(crate) version: String,
}

impl LastApplied {
    /// Whether this was the last apply of the object.
    pub(crate) fn matches(&self, kind: &'static str, key: &NamespacedName, applied: &AppliedVersion) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(kind, key.clone())) == Some(applied)
    }

    /// Records an apply.
    pub(crate) fn set(&self, kind: &'static str, key: &NamespacedName, applied: AppliedVersion) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((kind, key.clone()), applied);
    }

    /// Forgets the objects of this name, of every kind.
    pub(crate) fn forget(&self, key: &NamespacedName) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(_, known), _| known != key);
    }
}

/// A version that changes when the object is edited, but not when only its status changes: the generation if the API
/// server counts one, otherwise the resource version.
pub(crate) fn version_of<K: ResourceExt>(object: &K) -> String {
    let uid = object.uid().unwrap_or_default();
    match object.meta().generation {
        Some(generation) => {
            // A change of labels or annotations does not change the generation.
            let annotations = object
                .annotations()
                .iter()
                .filter(|(name, _)| !name.starts_with("deployment.kubernetes.io/"));
            let rest = content_digest::digest(&(object.labels(), annotations.collect::<Vec<_>>()));
            format!("{uid} generation {generation} {}", rest.unwrap_or_default())
        }
        None => format!("{uid} version {}", object.resource_version().unwrap_or_default()),
    }
}

//! The key of a namespaced object.

use std::fmt;

use kube::{Resource, ResourceExt as _, runtime::reflector::ObjectRef};

/// Namespace and name of an object; the kind is known from the context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl NamespacedName {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object; the namespace is empty for an object without one.
    #[must_use]
    pub fn of<K: Resource>(object: &K) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    /// The key of the object that a label names, in the same namespace.
    #[must_use]
    pub fn of_label<K: Resource>(object: &K, label: &str) -> Option<Self> {
        let name = object.labels().get(label)?;
        Some(Self::new(object.namespace()?, name.clone()))
    }

    /// The same key for kube's stores and queues.
    #[must_use]
    pub fn object_ref<K: Resource<DynamicType = ()>>(&self) -> ObjectRef<K> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

//! What every worker of this install has in common; values only.

use crate::args::{ImagePullPolicy, SecretVariable, Variable};

/// Settings that shape what is built for an Agent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Part of every name that leaves Kubernetes.
    pub install_id: String,
    /// Image of workers whose Agent names none.
    pub worker_image: String,
    /// When nodes pull it.
    pub image_pull_policy: ImagePullPolicy,
    /// Variables every worker gets, in this order.
    pub worker_env: Vec<Variable>,
    /// Variables every worker gets from Secrets of its own namespace.
    pub worker_secret_env: Vec<SecretVariable>,
}

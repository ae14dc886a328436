//! The parts of a Kubernetes control plane, one file each: what each is started
//! with (pure), and how one knows that it is ready.

pub(crate) mod apiserver;
pub(crate) mod certificates;
pub(crate) mod controller_manager;
pub(crate) mod etcd;
pub(crate) mod kubeconfig;
pub(crate) mod scheduler;
pub(crate) mod users;

pub use users::{NewUser, User};

/// Cluster addresses of Services; the first one is the API server's.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";
pub(crate) const FIRST_SERVICE_ADDRESS: &str = "10.96.0.1";

//! The programs of a Kubernetes control plane: the command line of each (pure),
//! and its readiness check.

pub(crate) mod apiserver;
pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod controller_manager;
pub(crate) mod etcd;
pub(crate) mod kubeconfig;
pub(crate) mod scheduler;
pub(crate) mod users;

pub use audit::{AuditLog, AuditMark, Write};
pub use users::{NewUser, User};

/// The addresses of Services. The API server has the first one.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";
pub(crate) const FIRST_SERVICE_ADDRESS: &str = "10.96.0.1";

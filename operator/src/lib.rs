//! Creates the workers of Agents and WorkerPools: revisions, Deployments and their access.
//! Kubernetes in, Kubernetes out: the operator makes no model or tool call, and
//! opens no connection to an address in a resource.
//!
//! The stages dereference, validate and build ([`agents`]) work without a
//! cluster, for programs that run Agents from files.

pub mod agents;
pub mod app;
pub mod args;
pub mod conditions;
pub mod config;
mod deletion;
pub mod hashing;
pub mod kube;
pub mod lint;
mod malformed;
mod metrics;
mod moves;
pub mod offline;
pub mod pools;
mod rate_limit;
mod scaling;
pub mod schedules;
pub mod settings;
mod stages;
mod tasks;
mod tools;
pub mod validation;
mod versions;
mod work_queue;
mod worker_admin;

/// The operator's name for the API server: field manager, reporter of Events.
pub(crate) const MANAGER: &str = "steadfast-operator";

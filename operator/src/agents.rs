//! Agents: the stages of a reconciliation and the controller that runs them.
//!
//! [`dereference`] reads what an Agent refers to, [`validate`] turns both into
//! a [`validate::ValidatedAgent`] or into errors, [`build`] makes the manifests.
//! These three work without a cluster, for instance over a
//! [`manifest_source::ManifestSource`]. `apply` writes the manifests, `status`
//! the status, `events` the Events; `garbage_collection` deletes leftovers;
//! `deletion` holds a deleted Agent while its tasks end; `moving` lets workers go
//! that an Agent has left; `scaling` tells the `autoscaler` of it; `versions` tells
//! the `version_syncer` which versions of workers there are. No stage after
//! `validate` sees the Agent itself.

pub mod build;
pub mod dereference;
pub mod grants;
pub mod identity;
pub mod manifest_source;
pub mod pool_summary;
pub mod revision_history;
pub mod summary;
pub mod validate;

pub(crate) mod apply;
pub(crate) mod apply_clock;
pub(crate) mod autoscaler;
mod cluster_source;
pub(crate) mod context;
pub(crate) mod controller;
pub(crate) mod cross_namespace;
pub(crate) mod deletion;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod garbage_collection;
mod homes;
pub(crate) mod last_applied;
mod moving;
pub(crate) mod next;
pub(crate) mod queue;
mod reconcile;
pub(crate) mod reference_index;
mod replicas;
pub(crate) mod rollout;
pub(crate) mod scaling;
pub(crate) mod scaling_state;
pub(crate) mod status;
pub(crate) mod version_syncer;
pub(crate) mod versions;
pub(crate) mod watches;
pub(crate) mod withdrawal;
mod worker_variables;

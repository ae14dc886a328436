//! Kubernetes without Agents: watches and caches, the Lease, status patches,
//! delays. Knows nothing of Agents and tools.

pub(crate) mod backoff;
pub(crate) mod change_tracker;
pub(crate) mod content_cache;
pub(crate) mod controller;
pub(crate) mod events;
pub mod leader;
pub mod lease;
pub mod namespaced_name;
pub(crate) mod object_cache;
pub mod owner;
pub(crate) mod reflector_feed;
pub(crate) mod status_patch;
pub mod watch;

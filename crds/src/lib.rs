//! The Kubernetes API of Steadfast, `steadfast.dev/v1alpha1`: the specs that a
//! user writes, the status that the operator writes, and the revisions that
//! workers read.
//!
//! Types with their schemas and CEL rules, and the names, hosts and manifests
//! around them. This crate opens no connection and depends on no other crate of
//! the workspace.

#![warn(missing_docs)]
#![expect(
    unreachable_pub,
    reason = "the macro KubeSchema copies each type into a function, where nothing reaches it"
)]

// The derive macros of kube write paths below `::kube`. This crate needs the types of kube only, and not its client:
// it stands in for the facade, so that nobody who depends on the API types links an HTTP client.
extern crate self as kube;
mod core {
    pub(crate) use kube_core::*;
}
use kube_derive::KubeSchema;

pub mod agent;
pub mod agent_reference_grant;
pub mod agent_revision;
pub mod agent_tool;
pub mod conditions;
mod definition;
pub mod duration;
pub mod environment;
pub mod fields;
pub mod host_pattern;
pub mod json_schema;
pub mod manifests;
pub mod model;
pub mod names;
pub mod quantity;
pub mod reference;
mod schema;
pub mod url_template;
pub mod worker;
pub mod worker_pool;
pub mod yaml;

pub use agent::{Agent, AgentSpec, AgentStatus};
pub use agent_reference_grant::{AgentReferenceGrant, AgentReferenceGrantSpec};
pub use agent_revision::{AgentRevision, AgentRevisionSpec};
pub use agent_tool::{AgentTool, AgentToolSpec, AgentToolStatus};
pub use definition::definition;
pub use duration::Duration;
pub use host_pattern::HostPattern;
pub use model::ModelSpec;
pub use quantity::Quantity;
pub use worker_pool::{WorkerPool, WorkerPoolSpec, WorkerPoolStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

/// The API group of every resource in this crate.
pub const GROUP: &str = "steadfast.dev";
/// The one served version.
pub const VERSION: &str = "v1alpha1";

/// All definitions, in the order of their installation.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = user_definitions();
    definitions.push(definition::<AgentRevision>());
    definitions
}

/// The definitions of the kinds that people write. The operator alone writes AgentRevisions.
#[must_use]
pub fn user_definitions() -> Vec<CustomResourceDefinition> {
    vec![
        definition::<Agent>(),
        definition::<AgentTool>(),
        definition::<WorkerPool>(),
        definition::<AgentReferenceGrant>(),
    ]
}

//! Turns Agents and AgentTools into revisions, Deployments and the little
//! access they need. Kubernetes in, Kubernetes out: it makes no model or tool
//! call and opens no connection to what a resource names.

pub mod agent_controller;
pub mod args;
pub mod backoff;
pub mod cache;
pub mod conditions;
pub mod content_digest;
pub mod contents;
pub mod defect;
pub mod hash_key;
pub mod keyed_hash;
pub mod leader;
pub mod lease;
pub mod metrics;
pub mod operator;
pub mod reference_index;
pub mod schedules;
pub mod schema_rules;
pub mod settings;
pub mod status_patch;
pub mod tool_controller;
pub mod tool_rules;
pub mod watch;

/// Who the operator is to the API server: field manager, event reporter, user agent.
pub const MANAGER: &str = "steadfast-operator";

//! The acting half of an agent: its activities, the model client, the tool
//! clients, and where revisions and credentials come from. It reads
//! AgentRevisions and never writes Kubernetes.

pub mod activities;
pub mod args;
pub mod context;
pub mod credentials;
pub mod heartbeat;
pub mod http_tool;
pub mod instructions;
pub mod known;
pub mod log_writer;
pub mod model;
pub mod outbox;
pub mod readiness;
pub mod revisions;
pub mod template;
pub mod temporal;
pub mod tools;
pub mod worker;

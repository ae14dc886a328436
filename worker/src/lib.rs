//! The acting half of an agent: its activities, the model client, the tool
//! clients, and the sources of revisions and credentials. Reads AgentRevisions
//! and never writes to Kubernetes.
//!
//! A worker program is built with [`Worker::builder`].

#![warn(unreachable_pub)]

mod activities;
mod app;
mod args;
mod attachments;
mod builder;
mod cache;
mod cancel_broadcast;
mod dynamic_activity;
mod egress;
mod failure;
mod fetch_history;
mod guardrails;
mod log;
mod model;
mod observe;
mod revisions;
mod search_attributes;
mod task_context;
mod template;
mod tool_api;
mod tools;
mod work_meter;

pub use builder::{Worker, WorkerBuilder};
pub use tool_api::{HookAnswer, ToolContext, ToolError};

#[doc(hidden)]
pub mod test_api;

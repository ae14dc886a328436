//! The acting half of an agent: its activities, the model client, the tool
//! clients, and where revisions and credentials come from. It reads
//! AgentRevisions and never writes Kubernetes.

pub mod activities;
pub mod address;
pub mod args;
pub mod builder;
pub mod capabilities;
pub mod context;
pub mod control;
pub mod credentials;
pub mod curtain;
pub mod guardrail;
pub mod heartbeat;
pub mod http_tool;
pub mod instructions;
pub mod known;
pub mod log_writer;
pub mod mcp;
pub mod metrics;
pub mod model;
pub mod outbox;
pub mod pace;
pub mod readiness;
pub mod revisions;
mod segment_cache;
pub mod spans;
pub mod steps;
pub mod target;
pub mod template;
pub mod tools;
pub mod webhook;
pub mod worker;

pub use builder::{HookAnswer, ToolContext, ToolError, Worker, WorkerBuilder};

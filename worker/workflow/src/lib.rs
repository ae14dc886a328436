//! The `AgentTask` workflow and its contract with clients and activities.

pub mod activities;
pub mod agent_task;
pub mod arguments;
pub mod calls;
pub mod carried;
pub mod contract;
pub mod failure;
pub mod history;
pub mod interceptor;
pub mod options;
pub mod outbox;
pub mod packed;
pub mod project;
pub mod store;
pub mod task;

pub use agent_task::AgentTask;

//! The `AgentTask` workflow and its contract with clients and activities.

pub mod activities;
pub mod agent_task;
pub mod approvals;
pub mod arguments;
pub mod calls;
pub mod carried;
pub mod contract;
pub mod deliver;
mod drive;
pub mod failure;
pub mod history;
pub mod hosted;
pub mod interceptor;
pub mod options;
pub mod outbox;
pub mod packed;
pub mod policy;
pub mod project;
pub mod start_input;
pub mod store;
pub mod task;
pub mod transcript;

pub use agent_task::AgentTask;
pub use deliver::DeliverMessage;

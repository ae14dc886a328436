//! The `AgentTask` workflow and its contract with clients and activities.

pub mod activities;
pub mod agent_task;
pub mod arguments;
pub mod deliver;
mod drive;
pub mod failure;
pub mod interceptor;
pub mod options;
pub mod start_input;
mod state_pages;
pub mod store;
pub mod task;
pub mod transcript;

pub use agent_task::AgentTask;
pub use deliver::DeliverMessage;

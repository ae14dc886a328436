//! The `AgentTask` workflow and its contract with clients and activities.

pub mod contract;
pub mod packed;

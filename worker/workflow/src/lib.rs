//! The workflows of Steadfast: [`AgentTask`], one per conversation, and [`DeliverMessage`], which each
//! run of a schedule with a fixed task is. Deterministic only: no clock, no randomness, no IO.

pub mod activities;
pub mod activity_options;
pub mod agent_task;
mod arguments;
mod command_size;
pub mod deliver_message;
mod failure;
pub mod interceptor;
mod segment_sink;
mod state_pages;
pub mod task;
pub mod task_input;

pub use agent_task::{AgentTask, ServedAgents};
pub use deliver_message::DeliverMessage;
pub use segment_sink::{NoSink, SegmentSink};

//! What travels between programs: the input of a task, its signals and queries, the inputs and
//! results of activities, the state that a run leaves to the next, and the names of all of them.
//!
//! Data only. No program declares a name or a shape of these again; this crate knows no Temporal,
//! no Redis and no network.

#![warn(missing_docs)]

pub mod activities;
pub mod activity_ids;
pub mod activity_kind;
pub mod api_keys;
pub mod approvals;
pub mod callee;
pub mod failures;
pub mod headers;
pub mod interval;
pub mod mcp;
pub mod offers;
pub mod outbox;
pub mod queries;
pub mod scheduled;
pub mod signals;
pub mod start;
pub mod state;
pub mod text_parts;
pub mod tool_calls;
pub mod tool_targets;
pub mod transcript;
pub mod visibility;
pub mod work;

//! A2A (Agent2Agent) 1.0: a task of A2A is a turn, and a context is a task of ours. Ids, cards, what clients send,
//! errors, and what the events of a turn become. Pure.
//! Source: <https://a2a-protocol.org/v1.0.0/specification>, `specification/a2a.proto`. The types are those of the
//! official crate `a2a-lf`.

pub(crate) mod card;
pub(crate) mod errors;
mod files;
pub(crate) mod ids;
pub(crate) mod input;
pub(crate) mod page;
pub(crate) mod turn;

//! The protocol of Agentex clients: the shapes on the wire, and the frames that the
//! events of a log become.

pub(crate) mod attachments;
pub(crate) mod frames;
pub(crate) mod message_filter;
pub(crate) mod message_turn;
pub(crate) mod wire;
pub(crate) mod without_counterpart;

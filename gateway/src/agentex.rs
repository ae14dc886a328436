//! The protocol of Agentex clients: the shapes on the wire, and the frames that the
//! events of a log become.

pub mod frames;
pub mod wire;

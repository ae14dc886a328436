//! Programs as processes: the command line, the identity of the process, and verbs
//! such as kill and freeze.
//!
//! Signals go only to a pair of process id and start time, so a recycled id never
//! gets one.

mod identity;
mod launch;
mod lifetime;
mod service;
mod sockets;
mod spawner;

pub use identity::ProcessId;
pub use launch::Launch;
pub use lifetime::Lifetime;
pub use service::Service;

pub(crate) use launch::output;

//! Programs as processes: what to run, who it is once it runs, and the verbs.
//!
//! A process is only ever signalled by the pair of its id and its start time,
//! so a recycled id is never hit.

mod identity;
mod launch;
mod service;
mod spawner;

pub use identity::ProcessId;
pub use launch::Launch;
pub use service::{Lifetime, Service};

pub(crate) use launch::output;

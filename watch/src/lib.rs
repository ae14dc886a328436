//! Lists and watches the objects of a cluster. Every object arrives as the JSON
//! that the API server sent, and is decoded by itself: one object that cannot be
//! decoded never hides the others, in lists and in watches.
//!
//! There is one watcher for all kinds, which is compiled once; only the decoding
//! is per kind. Knows nothing of agents.

mod decode;
mod raw_object;
mod watch;

pub use decode::{DecodeError, decode_event};
pub use kube::runtime::watcher::Event;
pub use raw_object::RawObject;
pub use watch::Watch;

//! The event log of a task in Redis: how entries are appended, read and followed.
//! What an entry says is in [`steadfast_events`].

mod entry;
mod fan_out;
mod link;
pub mod reader;
pub mod store;

pub use entry::Entry;
pub use link::LogError;
pub use reader::{LogItem, LogReader, Subscription};
pub use store::{Appended, Batch, EventLog, Genesis, LogSettings, Numbered, Snapshot, SpillPlace};

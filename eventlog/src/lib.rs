//! The event log of a task in Redis: how entries are appended, read and followed.
//! What an entry says is in [`steadfast_events`].

mod args;
mod connection;
mod connector;
mod entry;
mod error;
mod fan_out;
pub mod reader;
pub mod store;

pub use args::RedisArgs;
pub use connector::{RedisConnector, RedisSettingsError};
pub use entry::Entry;
pub use error::LogError;
pub use reader::{LogItem, LogReader, Subscription};
pub use store::{Appended, Batch, EventLog, Genesis, LogSettings, Numbered, Snapshot, SpillPlace};

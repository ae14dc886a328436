//! The event log of a task in Redis: append, read, subscribe. Also the only place
//! that connects to Redis: [`RedisArgs`] are the flags, [`RedisConnector`] makes
//! clients. The content of an entry is in [`steadfast_events`].

#![warn(missing_docs)]

mod args;
mod connection;
mod connector;
mod entry;
mod error;
mod fan_out;
pub mod reader;
mod shared;
pub mod store;

pub use args::RedisArgs;
pub use connector::{RedisConnector, RedisSettingsError};
pub use entry::Entry;
pub use error::LogError;
pub use reader::{LogItem, LogReader, Subscription};
pub use shared::Shared;
pub use store::{
    Appended, Batch, CallObserver, EventLog, FirstBatch, LogRun, LogSettings, Numbered, Part, Snapshot, SpillPlace,
};

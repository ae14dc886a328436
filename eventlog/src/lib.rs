//! The event log of a task: what its entries are, how they are appended and
//! read, and the pure fold from events to messages.

pub mod approval;
pub mod entry;
pub mod event;
mod fan_out;
pub mod fold;
pub mod id;
mod link;
pub mod message;
pub mod reader;
pub mod store;

pub use approval::{Approval, ApprovalKind, Decision};
pub use entry::{Entry, EntryId};
pub use event::{Event, EventKind, GuardrailStage, TaskStatus, TurnError, TurnStatus, Usage};
pub use fold::{Fold, fold};
pub use link::LogError;
pub use message::{Author, Content, Message, MessageStatus, TextFormat};
pub use reader::{LogItem, LogReader, Subscription};
pub use store::{Appended, Batch, EventLog, Genesis, LogSettings, Numbered, Snapshot, SpillPlace};

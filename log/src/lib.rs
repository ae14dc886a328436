//! The event log of a task: what its entries are, how they are appended and
//! read, and the pure fold from events to messages.

pub mod event;
pub mod id;
pub mod message;

pub use event::{Event, EventKind, TaskStatus, TurnError, TurnStatus, Usage};
pub use message::{Author, Content, Message, MessageStatus, TextFormat};

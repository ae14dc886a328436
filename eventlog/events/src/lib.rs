//! The events of a task's log, the messages and approvals they carry, and the pure
//! fold from events to messages. Data only: no Redis, no clock, no IO.

#![warn(missing_docs)]

pub mod approval;
pub mod entry_id;
pub mod event;
pub mod fold;
pub mod id;
pub mod log_id;
pub mod message;
pub mod testing;

pub use steadfast_attachments::Attachment;

pub use approval::{Approval, ApprovalKind, Decision, Verdict};
pub use entry_id::{EntryId, ParseEntryIdError};
pub use event::{Event, EventKind, GuardrailStage, TaskStatus, TurnError, TurnStatus, Usage};
pub use fold::{Fold, fold};
pub use log_id::LogId;
pub use message::{Author, Content, Message, MessageStatus, TextFormat};

//! The agent loop as a value: what to do next, given what has happened; and the inbox, which
//! decides what becomes of each message.
//!
//! Nothing here acts. No IO, no clock, no randomness; every value can be
//! serialised at any point and goes on from there.

pub mod inbox;
pub mod item;
pub mod output_item;
pub mod run;
pub mod tool_call;
pub mod transcript;

pub use inbox::{Admission, Inbox, NewMessage, QueuedMessage, Receipt, Recorded, Rejection};
pub use item::Item;
pub use run::{
    AfterTools, AgentRun, Failure, Guarded, Input, Limits, ModelAnswer, ProtocolViolation, Step, StepId, TurnOutcome,
};
pub use tool_call::{CallDisposition, CallKind, ModelText, ToolCall, ToolOutput};
pub use transcript::{Body, Segment, SegmentRef, UserContent};

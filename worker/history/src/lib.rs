//! Reads the history of a run and projects it to messages. Pure; needs no worker and no server.

mod approvals;
mod decisions;
mod messages;
mod payload;
mod view;

pub use approvals::whole_approval;
pub use messages::{messages, whole_result};
pub use payload::ReadHistoryError;
pub use view::{HistoryView, Shown};

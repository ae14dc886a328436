//! Reads the history of a run and projects it to messages. Pure; needs no worker and no server.

mod messages;
mod view;

pub use messages::messages;
pub use view::{HistoryView, ReadHistoryError, Shown};

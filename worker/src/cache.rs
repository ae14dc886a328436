//! What this process knows of the histories of the runs it works on.

pub(crate) mod run_history;
pub(crate) mod segments;

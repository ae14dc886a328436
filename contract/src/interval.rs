//! When a piece of work ran.

use serde::{Deserialize, Serialize};

/// The step and the time in which some work ran, to the millisecond. Short as JSON, because history
/// has one for each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, i64, i64)", into = "(u32, i64, i64)")]
pub struct Interval {
    /// The step within the turn; steps count from 0.
    pub step: u32,
    /// When the work began.
    pub from: jiff::Timestamp,
    /// When the work ended.
    pub until: jiff::Timestamp,
}

impl From<(u32, i64, i64)> for Interval {
    fn from((step, from, took): (u32, i64, i64)) -> Self {
        let at = |milliseconds| jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default();
        Self {
            step,
            from: at(from),
            until: at(from.saturating_add(took)),
        }
    }
}

impl From<Interval> for (u32, i64, i64) {
    fn from(ran: Interval) -> Self {
        let from = ran.from.as_millisecond();
        (ran.step, from, ran.until.as_millisecond() - from)
    }
}

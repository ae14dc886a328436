//! The end of a turn.

use serde::Deserialize;
use steadfast_events::{TurnError, TurnStatus, Usage};

/// The end of a turn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TurnEnd {
    pub status: TurnStatus,
    #[serde(default)]
    pub error: Option<TurnError>,
    #[serde(default)]
    pub usage: Usage,
}

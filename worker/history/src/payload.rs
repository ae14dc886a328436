//! Values in the events of a history.

use serde::de::DeserializeOwned;
use steadfast_contract::activity_kind::ActivityKind;
use steadfast_payload::{UnpackError, unpack};
use temporalio_common_wasm::protos::temporal::api::{
    common::v1::Payloads,
    history::v1::{ActivityTaskScheduledEventAttributes, HistoryEvent},
};

#[derive(Debug, thiserror::Error)]
pub enum ReadHistoryError {
    #[error("the history does not begin with the start of a task")]
    NoStart,
    #[error("read {what} of event {event_id}")]
    Unpack {
        what: &'static str,
        event_id: i64,
        #[source]
        source: UnpackError,
    },
}

/// Reads the one value of some payloads; `None` where there is none.
pub(crate) fn read<T: DeserializeOwned>(
    event: &HistoryEvent,
    what: &'static str,
    payloads: Option<&Payloads>,
) -> Result<Option<T>, ReadHistoryError> {
    let Some(payload) = payloads.and_then(|payloads| payloads.payloads.first()) else {
        return Ok(None);
    };
    unpack(payload).map(Some).map_err(|source| ReadHistoryError::Unpack {
        what,
        event_id: event.event_id,
        source,
    })
}

/// Which activity of ours was scheduled; `None` for one that is not ours.
pub(crate) fn kind_of(scheduled: &ActivityTaskScheduledEventAttributes) -> Option<ActivityKind> {
    ActivityKind::parse(&scheduled.activity_type.as_ref()?.name)
}

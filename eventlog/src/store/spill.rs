//! The results of finished model calls, for an attempt that follows when a worker is lost before Temporal knows.

use redis::cmd;
use steadfast_events::LogId;

use super::{EventLog, milliseconds};
use crate::error::LogError;

/// The field `@erased` of the producers' hash is known to `append.lua`.
const PUT_SPILL: &str = "
    if redis.call('HEXISTS', KEYS[2], '@erased') == 0 then
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    end";

/// The model call that a spill belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpillPlace<'a> {
    /// The log of the task that calls the model.
    pub log: &'a LogId,
    /// The run of that task.
    pub run_id: &'a str,
    /// Turn of the task.
    pub turn: u32,
    /// Step of the turn.
    pub step: u32,
}

impl SpillPlace<'_> {
    /// The line before the value.
    fn header(self) -> String {
        let Self { run_id, turn, step, .. } = self;
        format!("{run_id} {turn} {step}\n")
    }
}

impl EventLog {
    /// Stores the result of a finished model call until its activity has completed. A task has one model call at a
    /// time: the result replaces that of the call before.
    pub async fn put_spill(&self, place: SpillPlace<'_>, value: &[u8]) -> Result<(), LogError> {
        let settings = &self.inner.settings;
        let mut spill = place.header().into_bytes();
        spill.extend_from_slice(value);
        self.query(
            cmd("EVAL")
                .arg(PUT_SPILL)
                .arg(2)
                .arg(self.spill_key(place.log))
                .arg(self.producers_key(place.log))
                .arg(spill)
                .arg(milliseconds(settings.spill_expiry)),
        )
        .await
    }

    /// The result of a model call that an earlier attempt of the activity finished.
    pub async fn get_spill(&self, place: SpillPlace<'_>) -> Result<Option<Vec<u8>>, LogError> {
        let spill: Option<Vec<u8>> = self.query(cmd("GET").arg(self.spill_key(place.log))).await?;
        Ok(spill.and_then(|spill| spill.strip_prefix(place.header().as_bytes()).map(<[u8]>::to_vec)))
    }
}

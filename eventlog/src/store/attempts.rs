//! The attempts of activities that a process runs, so that its successor can fail those that it has left.

use redis::cmd;

use super::{EventLog, milliseconds};
use crate::error::LogError;

const TAKE_ATTEMPTS: &str = "
    local attempts = redis.call('HKEYS', KEYS[1])
    redis.call('DEL', KEYS[1])
    return attempts";

impl EventLog {
    /// Remembers an attempt of an activity, by its token, that a process of this name runs.
    pub async fn put_attempt(&self, process: &str, token: &[u8]) -> Result<(), LogError> {
        let key = self.attempts_key(process);
        self.query::<()>(cmd("HSET").arg(&key).arg(token).arg(1)).await?;
        let expiry = milliseconds(self.inner.settings.spill_expiry);
        self.query(cmd("PEXPIRE").arg(&key).arg(expiry)).await
    }

    /// Forgets an attempt, which has ended.
    pub async fn remove_attempt(&self, process: &str, token: &[u8]) -> Result<(), LogError> {
        self.query(cmd("HDEL").arg(self.attempts_key(process)).arg(token)).await
    }

    /// The attempts that a process of this name has left; they are forgotten.
    pub async fn take_attempts(&self, process: &str) -> Result<Vec<Vec<u8>>, LogError> {
        self.query(cmd("EVAL").arg(TAKE_ATTEMPTS).arg(1).arg(self.attempts_key(process)))
            .await
    }

    fn attempts_key(&self, process: &str) -> String {
        format!("{}@attempts:{process}", self.inner.settings.spill_prefix)
    }
}

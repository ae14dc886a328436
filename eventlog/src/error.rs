//! Why the log could not be read or written, in classes that callers act on.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// An operation on the log failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no connection: network, TLS, or no Sentinel knows the master.
    #[error("connect to Redis")]
    Connect(#[source] RedisError),
    /// User or password are wrong, or the user may not do this.
    #[error("Redis refused the user: check the user, its password and its ACL rules")]
    Unauthorized(#[source] RedisError),
    /// The answer did not come in time, the connection included.
    #[error("Redis did not answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The connection broke before the answer came; what was asked may have been done.
    #[error("the connection to Redis broke")]
    ConnectionLost(#[source] RedisError),
    /// Redis answered with an error.
    #[error("Redis refused the command")]
    Refused(#[source] RedisError),
    /// An event cannot be written as JSON.
    #[error("write an event as JSON")]
    Encode(#[source] serde_json::Error),
    /// The task that reads for all subscribers has ended.
    #[error("the log reader has stopped")]
    ReaderStopped,
}

impl LogError {
    /// Label for metrics and event reasons.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Unauthorized(_) => "unauthorized",
            Self::TimedOut(_) => "timed_out",
            Self::ConnectionLost(_) => "connection_lost",
            Self::Refused(_) => "refused",
            Self::Encode(_) => "encode",
            Self::ReaderStopped => "reader_stopped",
        }
    }

    /// Whether Redis is at fault, so that the same operation may succeed once Redis works again.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Unauthorized(_)
            | Self::TimedOut(_)
            | Self::ConnectionLost(_)
            | Self::Refused(_) => true,
            Self::Encode(_) | Self::ReaderStopped => false,
        }
    }

    /// Whether Redis works and does not do this: the key has another type, or an ACL rule forbids it.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unauthorized(_))
    }

    /// Classifies the error of an attempt to connect.
    pub(crate) fn of_connect(error: RedisError) -> Self {
        if is_unauthorized(&error) {
            Self::Unauthorized(error)
        } else {
            Self::Connect(error)
        }
    }

    /// Classifies the error of a command.
    pub(crate) fn of_command(error: RedisError) -> Self {
        if is_unauthorized(&error) {
            Self::Unauthorized(error)
        } else if is_broken(&error) {
            Self::ConnectionLost(error)
        } else {
            Self::Refused(error)
        }
    }
}

fn is_unauthorized(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm)
    ) || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.kind() == ErrorKind::Parse
}

/// Whether a new connection may do better: the old one broke, or its server is
/// not (or no longer) the one that takes writes.
pub(crate) fn wants_reconnect(error: &RedisError) -> bool {
    is_broken(error)
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_is_not_a_lost_connection() {
        let error = || RedisError::from((ErrorKind::AuthenticationFailed, "WRONGPASS"));
        assert!(matches!(LogError::of_connect(error()), LogError::Unauthorized(_)));
        assert!(matches!(LogError::of_command(error()), LogError::Unauthorized(_)));
    }

    #[test]
    fn a_broken_connection_is_not_a_refusal() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(LogError::of_command(broken), LogError::ConnectionLost(_)));
        let refused = RedisError::from((ErrorKind::Server(ServerErrorKind::ResponseError), "wrong type"));
        assert!(matches!(LogError::of_command(refused), LogError::Refused(_)));
    }

    #[test]
    fn a_server_that_became_a_replica_is_left() {
        let demoted = RedisError::from((ErrorKind::Server(ServerErrorKind::ReadOnly), "read only replica"));
        assert!(wants_reconnect(&demoted));
        let refused = RedisError::from((ErrorKind::Server(ServerErrorKind::ResponseError), "wrong type"));
        assert!(!wants_reconnect(&refused));
    }
}

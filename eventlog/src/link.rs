//! One shared connection to Redis that gives up early and reconnects by itself.
//! No call takes longer than the time limit, whatever state the server is in;
//! after a time-out the connection is dropped, because a peer that vanished
//! without a word would otherwise hold it for minutes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::{sync::Mutex, time::timeout};

/// Why the log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("read the address of Redis")]
    ParseAddress(#[source] RedisError),
    #[error("connect to Redis")]
    Connect(#[source] RedisError),
    #[error("Redis did not answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    #[error("ask Redis")]
    Command(#[source] RedisError),
    #[error("write an event as JSON")]
    Encode(#[source] serde_json::Error),
    #[error("the log reader has stopped")]
    ReaderStopped,
}

impl LogError {
    /// Label for metrics and event reasons.
    pub fn category(&self) -> &'static str {
        match self {
            Self::ParseAddress(_) => "parse_address",
            Self::Connect(_) => "connect",
            Self::TimedOut(_) => "timed_out",
            Self::Command(_) => "command",
            Self::Encode(_) => "encode",
            Self::ReaderStopped => "reader_stopped",
        }
    }
}

pub(crate) struct Link {
    client: Client,
    time_limit: Duration,
    current: Mutex<Option<Numbered>>,
    connections_made: AtomicU64,
}

/// A connection and which one it is, so that a late error does not drop its successor.
#[derive(Clone)]
struct Numbered {
    number: u64,
    connection: MultiplexedConnection,
}

pub(crate) fn open(url: &str) -> Result<Client, LogError> {
    let info = url.into_connection_info().map_err(LogError::ParseAddress)?;
    // Small commands of many tasks share the connection: do not wait to fill packets.
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(info).map_err(LogError::ParseAddress)
}

impl Link {
    /// Does not connect yet: Redis may be away when a program starts.
    pub(crate) fn new(client: Client, time_limit: Duration) -> Self {
        Self {
            client,
            time_limit,
            current: Mutex::new(None),
            connections_made: AtomicU64::new(0),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LogError> {
        if let Ok(answer) = timeout(self.time_limit, self.query_unbounded(command)).await {
            return answer;
        }
        // Whoever holds the lock is itself about to time out and clear it.
        if let Ok(mut current) = self.current.try_lock() {
            *current = None;
        }
        Err(LogError::TimedOut(self.time_limit))
    }

    async fn query_unbounded<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LogError> {
        let Numbered { number, mut connection } = self.connection().await?;
        let answer = command.query_async(&mut connection).await;
        if let Err(error) = &answer
            && (error.is_io_error() || error.is_connection_dropped() || error.kind() == ErrorKind::Parse)
        {
            let mut current = self.current.lock().await;
            if current.as_ref().is_some_and(|held| held.number == number) {
                *current = None;
            }
        }
        answer.map_err(LogError::Command)
    }

    async fn connection(&self) -> Result<Numbered, LogError> {
        // Held while connecting on purpose: the others wait for the same connection.
        let mut current = self.current.lock().await;
        if let Some(held) = current.as_ref() {
            return Ok(held.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.time_limit))
            // `query` bounds the whole; the crate's default of 500 ms would cut large reads short.
            .set_response_timeout(None);
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(LogError::Connect)?;
        let held = Numbered {
            number: self.connections_made.fetch_add(1, Ordering::Relaxed),
            connection,
        };
        *current = Some(held.clone());
        Ok(held)
    }
}

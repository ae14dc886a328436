//! One shared connection to Redis that gives up early and reconnects by itself.
//! No command takes longer than the time limit, whatever state the server is in.
//! After a time-out the connection is dropped: a peer that vanished without
//! closing it would otherwise hold it for minutes. Every new connection asks the
//! connector again, so that a failover is followed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::FutureExt as _;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};

use crate::{
    connector::RedisConnector,
    error::{LogError, wants_reconnect},
};

pub(crate) struct Connection {
    connector: RedisConnector,
    time_limit: Duration,
    current: Mutex<Option<NumberedConnection>>,
    connections_made: AtomicU64,
}

/// A connection and which one it is, so that a late error does not drop its successor.
#[derive(Clone)]
struct NumberedConnection {
    number: u64,
    connection: MultiplexedConnection,
}

impl Connection {
    /// Does not connect yet: Redis may be away when a program starts.
    pub(crate) fn new(connector: RedisConnector, time_limit: Duration) -> Self {
        Self {
            connector,
            time_limit,
            current: Mutex::new(None),
            connections_made: AtomicU64::new(0),
        }
    }

    pub(crate) fn connector(&self) -> &RedisConnector {
        &self.connector
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
        let NumberedConnection { number, mut connection } = self.connection().await?;
        let answer = command.query_async(&mut connection).await;
        if let Err(error) = &answer
            && wants_reconnect(error)
        {
            let mut current = self.current.lock().await;
            if current.as_ref().is_some_and(|held| held.number == number) {
                *current = None;
            }
        }
        answer.map_err(LogError::of_command)
    }

    async fn connection(&self) -> Result<NumberedConnection, LogError> {
        // Held while connecting on purpose: the others wait for the same connection.
        let mut current = self.current.lock().await;
        if let Some(held) = current.as_ref() {
            return Ok(held.clone());
        }
        let held = NumberedConnection {
            // On the heap: every call would carry the size of what only the first one does.
            connection: self.connect().boxed().await?,
            number: self.connections_made.fetch_add(1, Ordering::Relaxed),
        };
        *current = Some(held.clone());
        Ok(held)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, LogError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.time_limit))
            // `query` bounds the whole; the crate's default of 500 ms would cut large reads short.
            .set_response_timeout(None);
        let client = self.connector.client().await.map_err(LogError::of_connect)?;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(LogError::of_connect)
    }
}

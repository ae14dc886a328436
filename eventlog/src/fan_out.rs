//! The one task of a process that waits for new entries: a single `XREAD` over
//! the logs of all tasks that somebody watches, spread to the watchers over a
//! channel per task. It promises one thing: whoever joined gets every entry
//! added after the join, or finds the channel closed. What came before, and
//! what a closed or overrun channel lost, the watcher reads by range.

use std::{collections::HashMap, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Cmd, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    entry::{Entry, RawEntry, parse_raw},
    error::LogError,
    store::EventLog,
};

/// How long one `XREAD` waits; also how soon a log nobody watches any more is left out.
const BLOCK: Duration = Duration::from_secs(2);
/// Longer than [`BLOCK`] by what a busy server may need.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Entries of one log taken at once.
const COUNT: usize = 500;
/// Entries a slow watcher may be behind before it has to read by range.
const CHANNEL_ENTRIES: usize = 1024;
const RECONNECT_AFTER: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

pub(crate) type Live = broadcast::Receiver<Arc<Entry>>;

/// Asks for the entries of a task from now on.
pub(crate) struct Join {
    pub(crate) task_id: String,
    pub(crate) joined: oneshot::Sender<Live>,
}

struct Watched {
    sender: broadcast::Sender<Arc<Entry>>,
    /// Id of the last entry seen, as text; empty until it was asked for.
    position: Option<String>,
    /// Who waits for the position to be known.
    joining: Vec<oneshot::Sender<Live>>,
}

struct FanOut {
    log: EventLog,
    joins: mpsc::Receiver<Join>,
    /// By name of the stream.
    watched: HashMap<String, Watched>,
}

/// A connection of its own: a blocked `XREAD` would stall every other command.
struct Reading {
    connection: MultiplexedConnection,
    client_id: i64,
}

/// Runs until nobody can join any more.
pub(crate) async fn run(log: EventLog, joins: mpsc::Receiver<Join>) {
    let mut fan_out = FanOut {
        log,
        joins,
        watched: HashMap::new(),
    };
    let mut failures = 0;
    loop {
        match fan_out.read_until_broken(&mut failures).await {
            Ok(()) => return,
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "lost the connection to Redis; reading again when it is back"
                    );
                }
                fan_out.close_all();
                sleep(RECONNECT_AFTER[usize::min(failures, RECONNECT_AFTER.len() - 1)]).await;
                failures += 1;
            }
        }
    }
}

impl FanOut {
    /// Closes the channels: positions may no longer hold, so every watcher has to
    /// look for itself. Those still joining stay.
    fn close_all(&mut self) {
        self.watched.retain(|_, watched| {
            watched.joining.retain(|joining| !joining.is_closed());
            watched.sender = broadcast::Sender::new(CHANNEL_ENTRIES);
            watched.position = None;
            !watched.joining.is_empty()
        });
    }

    async fn read_until_broken(&mut self, failures: &mut usize) -> Result<(), LogError> {
        let mut reading = Reading::connect(&self.log).await?;
        loop {
            while let Ok(join) = self.joins.try_recv() {
                self.take(join);
            }
            self.watched
                .retain(|_, watched| watched.sender.receiver_count() > 0 || !watched.joining.is_empty());
            if self.watched.is_empty() {
                let Some(join) = self.joins.recv().await else {
                    return Ok(());
                };
                self.take(join);
            }
            self.find_positions(&mut reading).await?;
            if let Some(answer) = self.read(&mut reading).await? {
                self.spread(answer);
            }
            if *failures > 0 {
                tracing::info!("reading from Redis again");
                *failures = 0;
            }
        }
    }

    fn take(&mut self, Join { task_id, joined }: Join) {
        let watched = self.watched.entry(self.log.key(&task_id)).or_insert_with(|| Watched {
            sender: broadcast::Sender::new(CHANNEL_ENTRIES),
            position: None,
            joining: Vec::new(),
        });
        if watched.position.is_some() {
            let _ = joined.send(watched.sender.subscribe());
        } else {
            watched.joining.push(joined);
        }
    }

    async fn find_positions(&mut self, reading: &mut Reading) -> Result<(), LogError> {
        for (key, watched) in &mut self.watched {
            if watched.position.is_none() {
                let last: Vec<RawEntry> = reading
                    .query(cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(1))
                    .await?;
                watched.position = Some(last.into_iter().next().map_or_else(|| "0-0".to_owned(), |(id, _)| id));
                for joining in watched.joining.drain(..) {
                    let _ = joining.send(watched.sender.subscribe());
                }
            }
        }
        Ok(())
    }

    /// Waits for entries, or for somebody to join.
    async fn read(&mut self, reading: &mut Reading) -> Result<Option<XreadAnswer>, LogError> {
        let mut command = cmd("XREAD");
        command
            .arg("BLOCK")
            .arg(BLOCK.as_millis().to_string())
            .arg("COUNT")
            .arg(COUNT)
            .arg("STREAMS");
        let positions = || {
            self.watched
                .iter()
                .filter_map(|(key, watched)| Some((key, watched.position.as_ref()?)))
        };
        for (key, _) in positions() {
            command.arg(key);
        }
        for (_, position) in positions() {
            command.arg(position);
        }
        let client_id = reading.client_id;
        let answer = reading.query(&command);
        tokio::pin!(answer);
        let join = tokio::select! {
            answer = &mut answer => return answer,
            join = self.joins.recv() => join,
        };
        if let Some(join) = join {
            self.take(join);
        }
        let log = self.log.clone();
        tokio::select! {
            answer = &mut answer => answer,
            () = unblock(&log, client_id) => answer.await,
        }
    }

    fn spread(&mut self, answer: XreadAnswer) {
        for (key, entries) in answer {
            let Some(watched) = self.watched.get_mut(&key) else {
                continue;
            };
            for entry in entries {
                watched.position = Some(entry.0.clone());
                if let Some(entry) = parse_raw(entry) {
                    let _ = watched.sender.send(Arc::new(entry));
                }
            }
        }
    }
}

type XreadAnswer = Vec<(String, Vec<RawEntry>)>;

impl Reading {
    async fn connect(log: &EventLog) -> Result<Self, LogError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(log.time_limit()))
            .set_response_timeout(Some(ANSWER_LIMIT));
        let client = timeout(log.time_limit(), log.connector().client())
            .await
            .map_err(|_| LogError::TimedOut(log.time_limit()))?
            .map_err(LogError::of_connect)?;
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(LogError::of_connect)?;
        let mut reading = Self {
            connection,
            client_id: 0,
        };
        reading.client_id = reading.query(cmd("CLIENT").arg("ID")).await?;
        Ok(reading)
    }

    async fn query<T: redis::FromRedisValue>(&mut self, command: &Cmd) -> Result<T, LogError> {
        command
            .query_async(&mut self.connection)
            .await
            .map_err(LogError::of_command)
    }
}

/// Ends the wait of the reading connection. Asked again until its answer is
/// there, because the wait may not have begun when the first request arrives.
async fn unblock(log: &EventLog, client_id: i64) {
    loop {
        match log.query::<i64>(cmd("CLIENT").arg("UNBLOCK").arg(client_id)).await {
            Ok(0) => sleep(Duration::from_millis(2)).await,
            Ok(_) => return,
            Err(error) => {
                // The wait ends by itself soon enough.
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "could not wake the log reader"
                );
                return;
            }
        }
    }
}

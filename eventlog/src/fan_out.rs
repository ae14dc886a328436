//! The one reader of a process: a single `XREAD` over the logs of all tasks that
//! have subscribers, and one channel per task to them. It promises one thing: a
//! subscriber that joined gets every entry added after the join, or finds the
//! channel closed. Earlier entries, and those that a closed or overrun channel
//! lost, the subscriber reads by range. A key that Redis refuses to read closes the
//! channel of its own subscribers and no other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use redis::{AsyncConnectionConfig, Cmd, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::{sleep, timeout},
};

use steadfast_events::LogId;

use crate::{
    entry::{Entry, RawEntry, parse_raw},
    error::LogError,
    store::EventLog,
};

/// Longest wait of one `XREAD`. A log without subscribers is dropped within this time.
const BLOCK: Duration = Duration::from_secs(2);
/// [`BLOCK`] and the time that a busy server may need.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Entries of one log in one answer.
const COUNT: usize = 500;
/// Entries that a slow subscriber may lag before it has to read by range: those of one answer, so that no answer makes
/// every subscriber read. The places for them are there from the start, for each watched log.
const CHANNEL_ENTRIES: usize = 512;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) type Live = broadcast::Receiver<Arc<Entry>>;

/// A request for the entries of a log from now on.
pub(crate) struct Join {
    pub(crate) id: LogId,
    pub(crate) joined: oneshot::Sender<Live>,
}

/// A log with subscribers.
struct Watched {
    sender: broadcast::Sender<Arc<Entry>>,
    /// Id of the last entry read, as text; `None` until it was asked for.
    position: Option<String>,
    /// Subscribers that wait until the position is known.
    joining: Vec<oneshot::Sender<Live>>,
}

struct FanOut {
    log: EventLog,
    joins: mpsc::Receiver<Join>,
    /// By key of the stream.
    watched: HashMap<String, Watched>,
}

/// A connection of its own: a blocked `XREAD` would stall every other command.
struct Reading {
    connection: MultiplexedConnection,
    client_id: i64,
}

/// Runs until all handles of the reader are gone.
pub(crate) async fn run(log: EventLog, joins: mpsc::Receiver<Join>) {
    let mut fan_out = FanOut {
        log,
        joins,
        watched: HashMap::new(),
    };
    // `None` while reading works.
    let mut outage: Option<ExponentialBackoff> = None;
    loop {
        match fan_out.read_until_broken(&mut outage).await {
            Ok(()) => return,
            Err(error) => {
                let back_off = outage.get_or_insert_with(|| {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the connection to Redis is lost; reconnecting until it is back"
                    );
                    reconnect_back_off()
                });
                let pause = back_off.next().unwrap_or(LONGEST_PAUSE);
                fan_out.close_all();
                sleep(pause).await;
            }
        }
    }
}

impl FanOut {
    /// Closes the channels, because the positions may no longer hold: every subscriber
    /// reads by range and joins again. Those that are still joining stay.
    fn close_all(&mut self) {
        self.watched.retain(|_, watched| {
            watched.joining.retain(|joining| !joining.is_closed());
            watched.sender = broadcast::Sender::new(CHANNEL_ENTRIES);
            watched.position = None;
            !watched.joining.is_empty()
        });
    }

    async fn read_until_broken(&mut self, outage: &mut Option<ExponentialBackoff>) -> Result<(), LogError> {
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
            match self.read(&mut reading).await {
                Ok(Some(answer)) => self.spread(answer),
                Ok(None) => {}
                // One key is enough for Redis to refuse the command.
                Err(error) if error.is_refusal() && self.drop_refused(&mut reading).await? => {}
                Err(error) => return Err(error),
            }
            if outage.take().is_some() {
                tracing::info!("reconnected to Redis");
            }
        }
    }

    fn take(&mut self, Join { id, joined }: Join) {
        let watched = self.watched.entry(self.log.key(&id)).or_insert_with(|| Watched {
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
        let mut refused = Vec::new();
        for (key, watched) in &mut self.watched {
            if watched.position.is_none() {
                let last = match reading.last_id(key).await {
                    Err(error) if error.is_refusal() => {
                        refused.push((key.clone(), error));
                        continue;
                    }
                    last => last?,
                };
                watched.position = Some(last.unwrap_or_else(|| "0-0".to_owned()));
                for joining in watched.joining.drain(..) {
                    let _ = joining.send(watched.sender.subscribe());
                }
            }
        }
        self.drop_watched(refused);
        Ok(())
    }

    /// Closes the channels of the keys that Redis refuses to read. `false` where that is no way out:
    /// it refuses none of them, or several and each of them.
    async fn drop_refused(&mut self, reading: &mut Reading) -> Result<bool, LogError> {
        let mut refused = Vec::new();
        for key in self.watched.keys() {
            match reading.last_id(key).await {
                Err(error) if error.is_refusal() => refused.push((key.clone(), error)),
                last => drop(last?),
            }
        }
        if refused.is_empty() || (refused.len() > 1 && refused.len() == self.watched.len()) {
            return Ok(false);
        }
        self.drop_watched(refused);
        Ok(true)
    }

    fn drop_watched(&mut self, refused: Vec<(String, LogError)>) {
        for (key, error) in refused {
            self.watched.remove(&key);
            // Its subscribers try again, so this is not worth more.
            tracing::debug!(
                key,
                error = &error as &dyn std::error::Error,
                "Redis refuses to read the log of a task"
            );
        }
    }

    /// Waits for entries or for a subscriber to join.
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

fn reconnect_back_off() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
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

    /// Id of the last entry of a stream, as text.
    async fn last_id(&mut self, key: &str) -> Result<Option<String>, LogError> {
        let last: Vec<RawEntry> = self
            .query(cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(1))
            .await?;
        Ok(last.into_iter().next().map(|(id, _)| id))
    }

    async fn query<T: redis::FromRedisValue>(&mut self, command: &Cmd) -> Result<T, LogError> {
        command
            .query_async(&mut self.connection)
            .await
            .map_err(LogError::of_command)
    }
}

/// Ends the wait of the reading connection. Repeated until Redis confirms it,
/// because the wait may not have begun when the first request arrives.
async fn unblock(log: &EventLog, client_id: i64) {
    loop {
        match log.query::<i64>(cmd("CLIENT").arg("UNBLOCK").arg(client_id)).await {
            Ok(0) => sleep(Duration::from_millis(2)).await,
            Ok(_) => return,
            Err(error) => {
                // The wait ends by itself within `BLOCK`.
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot wake the log reader; it wakes by itself"
                );
                return;
            }
        }
    }
}

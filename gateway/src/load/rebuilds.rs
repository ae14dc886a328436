//! The messages of runs, read from their histories: each once for all who need it at the same
//! time, a few histories in memory at a time, and the results in a cache of bounded size.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use steadfast_events::{Content, Message};
use tokio::sync::Semaphore;

use crate::temporal::TemporalError;

/// Memory that cached messages may use.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// A task that nobody asks for leaves memory after this time.
const IDLE: Duration = Duration::from_mins(5);
/// Histories in memory at a time: each may have tens of megabytes.
const HISTORIES: usize = 2;

/// A run as of a number of events. A run that has ended gets no more events, and a run that goes
/// on is another key with each of them: a cached result is never too old.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_field_names, reason = "Temporal's name of a run's id")]
pub(crate) struct Run {
    pub(crate) task_id: String,
    pub(crate) run_id: String,
    /// `None` for a run that has ended.
    pub(crate) events: Option<i64>,
}

/// The finished messages in the history of a run.
#[derive(Debug)]
pub(crate) struct RunMessages {
    pub(crate) messages: Vec<Message>,
    /// The run that continued as this one.
    pub(crate) previous_run: Option<String>,
}

/// Why a history gives no messages.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    #[error("read a history from Temporal")]
    Fetch(#[from] TemporalError),
    #[error("the task's history cannot be read")]
    Read(#[from] steadfast_history::ReadHistoryError),
}

#[derive(Debug)]
pub(crate) struct Rebuilds {
    runs: Cache<Run, Arc<RunMessages>>,
    histories: Semaphore,
}

impl Rebuilds {
    pub(super) fn new() -> Self {
        Self::with_capacity(CACHE_BYTES)
    }

    fn with_capacity(bytes: u64) -> Self {
        Self {
            runs: Cache::builder()
                .weigher(|_, run: &Arc<RunMessages>| run.size_bytes())
                .max_capacity(bytes)
                .time_to_idle(IDLE)
                .build(),
            histories: Semaphore::new(HISTORIES),
        }
    }

    /// The messages of a run; `read` is called once for all who ask at the same time.
    pub(crate) async fn run(
        &self,
        run: Run,
        read: impl Future<Output = Result<RunMessages, RebuildError>>,
    ) -> Result<Arc<RunMessages>, Arc<RebuildError>> {
        let read = async {
            // Never closed, so there is always a permit.
            let _permit = self.histories.acquire().await;
            read.await.map(Arc::new)
        };
        self.runs.try_get_with(run, read).await
    }
}

impl RunMessages {
    /// Approximately what the messages use.
    fn size_bytes(&self) -> u32 {
        let bytes: usize = self.messages.iter().map(message_bytes).sum();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

fn message_bytes(message: &Message) -> usize {
    // A parsed value uses several times the bytes of its text.
    const VALUE_FACTOR: usize = 4;
    let content = match &message.content {
        Content::Text { text, .. } => text.len(),
        other => VALUE_FACTOR * serde_json::to_vec(other).map_or(0, |json| json.len()),
    };
    size_of::<Message>() + message.id.len() + message.agent.len() + content
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use steadfast_events::{Author, MessageStatus, TextFormat};

    use super::*;

    fn run(number: usize) -> Run {
        Run {
            task_id: "t".to_owned(),
            run_id: number.to_string(),
            events: Some(7),
        }
    }

    fn messages(text_bytes: usize) -> RunMessages {
        let message = Message {
            id: "m".to_owned(),
            idempotency_key: None,
            turn: 1,
            agent: "haiku".to_owned(),
            author: Author::Agent,
            content: Content::text("x".repeat(text_bytes), TextFormat::Plain),
            status: MessageStatus::Done,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        };
        RunMessages {
            messages: vec![message],
            previous_run: None,
        }
    }

    #[tokio::test]
    async fn a_thousand_viewers_cause_one_rebuild() {
        let (rebuilds, read) = (Rebuilds::new(), AtomicUsize::new(0));
        let viewers = (0..1000).map(|_| {
            rebuilds.run(run(1), async {
                read.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(messages(10))
            })
        });
        let seen = join_all(viewers).await;
        assert!(seen.iter().all(|run| run.as_ref().unwrap().messages.len() == 1));
        assert_eq!(read.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_and_not_kept() {
        let rebuilds = Rebuilds::new();
        let failed = rebuilds
            .run(run(1), async { Err(TemporalError::NotFound.into()) })
            .await;
        assert!(matches!(
            *failed.unwrap_err(),
            RebuildError::Fetch(TemporalError::NotFound)
        ));
        assert!(rebuilds.run(run(1), async { Ok(messages(10)) }).await.is_ok());
    }

    #[tokio::test]
    async fn the_cache_is_bounded_in_bytes() {
        const CAPACITY: u64 = 100_000;
        let rebuilds = Rebuilds::with_capacity(CAPACITY);
        for number in 0..50 {
            rebuilds.run(run(number), async { Ok(messages(10_000)) }).await.unwrap();
        }
        rebuilds.runs.run_pending_tasks().await;
        assert!(
            rebuilds.runs.weighted_size() <= CAPACITY,
            "{}",
            rebuilds.runs.weighted_size()
        );
        assert!(rebuilds.runs.entry_count() > 0);
    }

    #[tokio::test]
    async fn few_histories_are_in_memory_at_a_time() {
        let (rebuilds, now, most) = (Rebuilds::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        join_all((0..20).map(|number| {
            rebuilds.run(run(number), async {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(messages(10))
            })
        }))
        .await;
        assert_eq!(most.load(Ordering::SeqCst), HISTORIES);
    }
}

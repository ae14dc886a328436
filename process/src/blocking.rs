//! Work that nobody can stop, such as a parser of a library: it runs on a thread of its
//! own with a large stack, and whoever waits for it has a deadline. Work that is late
//! keeps its thread until it ends; its caller gets an error, and so does every later
//! caller for the same object, so that one object never costs more than one thread.

use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

/// Enough for what the bounds of users' expressions let through; the system commits only the pages that are used.
const STACK_BYTES: usize = 64 << 20;

/// Why work has no result.
#[derive(Debug, thiserror::Error)]
pub enum BlockingError {
    /// It is late, or work for the same object has been late and still runs.
    #[error("it takes longer than {deadline:?}")]
    DeadlineExceeded {
        /// How long the caller waits.
        deadline: Duration,
    },
    /// Other work had all threads until the deadline.
    #[error("too much other work is running")]
    Busy,
    /// The system has no thread.
    #[error("start a thread")]
    Start(#[source] io::Error),
    /// It panicked.
    #[error("the work panicked")]
    Panicked,
}

/// The threads for the blocking work of one kind. Clones share them.
#[derive(Clone, Debug)]
pub struct BlockingWork {
    permits: Arc<Semaphore>,
    running: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    /// The object of each work, and whether it is late.
    work: BTreeMap<u64, (String, bool)>,
}

impl BlockingWork {
    /// At most `threads` at a time.
    pub fn new(threads: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(threads)),
            running: Arc::default(),
        }
    }

    /// Runs `work` for an object and waits for its result until the deadline.
    pub async fn run<T: Send + 'static>(
        &self,
        object: &str,
        deadline: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockingError> {
        if lock(&self.running).is_late(object) {
            return Err(BlockingError::DeadlineExceeded { deadline });
        }
        let permit = timeout(deadline, Arc::clone(&self.permits).acquire_owned());
        let Ok(Ok(permit)) = permit.await else {
            return Err(BlockingError::Busy);
        };
        let entry = Entry::new(&self.running, object, permit);
        let id = entry.id;
        let (sender, receiver) = oneshot::channel();
        thread::Builder::new()
            .name("blocking".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let result = catch_unwind(AssertUnwindSafe(work));
                drop(entry);
                // Nobody waits for late work.
                let _ = sender.send(result);
            })
            .map_err(BlockingError::Start)?;
        match timeout(deadline, receiver).await {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(_)) | Err(_)) => Err(BlockingError::Panicked),
            Err(_) => {
                tracing::error!(object, ?deadline, "blocking work is late; its thread runs on");
                if let Some((_, is_late)) = lock(&self.running).work.get_mut(&id) {
                    *is_late = true;
                }
                Err(BlockingError::DeadlineExceeded { deadline })
            }
        }
    }
}

impl Running {
    fn is_late(&self, object: &str) -> bool {
        self.work.values().any(|(other, is_late)| *is_late && other == object)
    }
}

/// Work that runs. Dropped by its thread.
struct Entry {
    id: u64,
    running: Arc<Mutex<Running>>,
    _permit: OwnedSemaphorePermit,
}

impl Entry {
    fn new(running: &Arc<Mutex<Running>>, object: &str, permit: OwnedSemaphorePermit) -> Self {
        let mut locked = lock(running);
        let id = locked.next;
        locked.next += 1;
        locked.work.insert(id, (object.to_owned(), false));
        drop(locked);
        Self {
            id,
            running: Arc::clone(running),
            _permit: permit,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.running).work.remove(&self.id);
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn the_result_of_work_is_returned() {
        let blocking = BlockingWork::new(1);
        for round in 0..3 {
            assert_eq!(blocking.run("a", LONG, move || round).await.unwrap(), round);
        }
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_gives_its_thread_back() {
        let blocking = BlockingWork::new(1);
        let result: Result<(), _> = blocking.run("a", LONG, || panic!("on purpose")).await;
        assert!(matches!(result, Err(BlockingError::Panicked)), "{result:?}");
        assert_eq!(blocking.run("a", LONG, || 1).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn late_work_stops_neither_its_caller_nor_other_objects() {
        let blocking = BlockingWork::new(2);
        let (release, released) = mpsc::channel::<()>();
        let (ended, end) = oneshot::channel();
        let work = move || {
            let _ = released.recv();
            let _ = ended.send(());
        };
        let result = blocking.run("a", SHORT, work).await;
        assert!(
            matches!(result, Err(BlockingError::DeadlineExceeded { .. })),
            "{result:?}"
        );

        // The same object gets no second thread, and another one gets its result.
        let again: Result<(), _> = blocking.run("a", LONG, || panic!("ran again")).await;
        assert!(
            matches!(again, Err(BlockingError::DeadlineExceeded { .. })),
            "{again:?}"
        );
        assert_eq!(blocking.run("b", LONG, || 1).await.unwrap(), 1);

        drop(release);
        end.await.unwrap();
        while lock(&blocking.running).is_late("a") {
            tokio::task::yield_now().await;
        }
        assert_eq!(blocking.run("a", LONG, || 2).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn work_waits_for_a_thread_until_its_deadline() {
        let blocking = BlockingWork::new(1);
        let (_release, released) = mpsc::channel::<()>();
        let late = blocking.run("a", SHORT, move || released.recv().is_ok()).await;
        assert!(matches!(late, Err(BlockingError::DeadlineExceeded { .. })), "{late:?}");
        let busy = blocking.run("b", SHORT, || 1).await;
        assert!(matches!(busy, Err(BlockingError::Busy)), "{busy:?}");
    }
}

//! One question for many who ask at the same time. Who asks gets an answer that was asked for
//! after them: it joins a question that has not been sent yet, never one under way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OnceCell, Semaphore};

#[derive(Debug)]
pub(super) struct NextFlight<T> {
    /// The questions that wait to be sent, by key.
    waiting: Mutex<HashMap<String, Arc<OnceCell<T>>>>,
    under_way: Semaphore,
}

impl<T: Clone> NextFlight<T> {
    /// `at_a_time` questions are under way at a time.
    pub(super) fn new(at_a_time: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            under_way: Semaphore::new(at_a_time),
        }
    }

    /// The answer for a key. If the asker whose question is sent gives up, the next one asks.
    pub(super) async fn ask(&self, key: &str, question: impl Future<Output = T>) -> T {
        let answer = self.lock().entry(key.to_owned()).or_default().clone();
        let asked = answer.get_or_init(|| async {
            // Never closed, so there is always a permit.
            let _permit = self.under_way.acquire().await;
            self.no_longer_waits(key, &answer);
            question.await
        });
        asked.await.clone()
    }

    /// Who comes from now on needs a newer answer.
    fn no_longer_waits(&self, key: &str, answer: &Arc<OnceCell<T>>) {
        let mut waiting = self.lock();
        if waiting.get(key).is_some_and(|listed| Arc::ptr_eq(listed, answer)) {
            waiting.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<OnceCell<T>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn who_asks_while_a_question_is_under_way_shares_the_next_one() {
        let flights = NextFlight::new(1);
        let (sent, may_end) = (AtomicUsize::new(0), Notify::new());
        let ask = || {
            flights.ask("task", async {
                let number = sent.fetch_add(1, Ordering::SeqCst) + 1;
                if number == 1 {
                    may_end.notified().await;
                }
                number
            })
        };
        let first = ask();
        let later = async {
            while sent.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let askers = join_all((0..1000).map(|_| ask()));
            let end = async { may_end.notify_one() };
            tokio::join!(askers, end).0
        };
        let (first, later) = tokio::join!(first, later);
        assert_eq!(first, 1);
        assert!(
            later.iter().all(|number| *number == 2),
            "one question for all who came later"
        );
        assert_eq!(sent.load(Ordering::SeqCst), 2);
        assert!(flights.waiting.lock().unwrap().is_empty());
    }
}

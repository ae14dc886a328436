//! The order in which the tasks of one deleted Agent are asked and counted: page by page until each was asked, once more
//! for those that were listed late, and then only counted, ever less often. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    deletion::{
        plan::{Request, Tasks},
        state::Progress,
    },
    tasks::OpenTasks,
};

/// How often each task is asked. A task that began as its Agent was deleted is listed a moment later. Asking a task twice
/// is asking it once: the request has an id.
const PASSES: u32 = 2;
/// The least time between two passes.
const PASS_INTERVAL: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What is to be done for an Agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing before this time.
    Wait(Instant),
    /// List the page of this token, and ask every task on it.
    Ask(Vec<u8>),
    /// List the first page, and count.
    Count,
}

/// How far the tasks of one Agent have been asked one thing.
#[derive(Debug)]
pub(super) struct Passes {
    request: Request,
    stage: Stage,
    /// The passes that are complete.
    complete: u32,
}

#[derive(Debug)]
enum Stage {
    /// A pass is under way: its next page, and the tasks on those before.
    Asking { token: Vec<u8>, counted: usize },
    /// Every task was asked at `since`; they are counted at `at`.
    Counting {
        since: Instant,
        at: Instant,
        pause: Duration,
    },
}

impl Passes {
    /// No task has been asked yet.
    pub(super) const fn new(request: Request) -> Self {
        Self {
            request,
            stage: Stage::Asking {
                token: Vec::new(),
                counted: 0,
            },
            complete: 0,
        }
    }

    /// What the tasks are asked.
    pub(super) const fn request(&self) -> Request {
        self.request
    }

    /// What is to be done now.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        match &self.stage {
            Stage::Counting { at, .. } if now < *at => return Next::Wait(*at),
            Stage::Counting { since, .. } if self.complete >= PASSES || now < *since + PASS_INTERVAL => {
                return Next::Count;
            }
            Stage::Counting { .. } => {
                self.stage = Stage::Asking {
                    token: Vec::new(),
                    counted: 0,
                };
            }
            Stage::Asking { .. } => {}
        }
        match &self.stage {
            Stage::Asking { token, .. } => Next::Ask(token.clone()),
            Stage::Counting { at, .. } => Next::Wait(*at),
        }
    }

    /// Every task of a page was asked.
    pub(super) fn asked(&mut self, listed: usize, next_token: Vec<u8>, now: Instant) -> Progress {
        let before = match &self.stage {
            Stage::Asking { counted, .. } => *counted,
            Stage::Counting { .. } => 0,
        };
        let counted = before + listed;
        let more = !next_token.is_empty();
        if more {
            self.stage = Stage::Asking {
                token: next_token,
                counted,
            };
        } else {
            self.complete = self.complete.saturating_add(1);
            self.stage = Stage::Counting {
                since: now,
                at: now + FIRST_PAUSE,
                pause: FIRST_PAUSE,
            };
        }
        self.progress(OpenTasks { counted, more })
    }

    /// The first page was listed.
    pub(super) fn counted(&mut self, left: OpenTasks, now: Instant) -> Progress {
        if let Stage::Counting { at, pause, .. } = &mut self.stage {
            *pause = (*pause * 2).min(LONGEST_PAUSE);
            *at = now + *pause;
        }
        self.progress(left)
    }

    fn progress(&self, left: OpenTasks) -> Progress {
        Progress {
            tasks: Tasks::Running(left),
            asked: (self.complete > 0).then_some(self.request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn progress(counted: usize, more: bool, asked: Option<Request>) -> Progress {
        Progress {
            tasks: Tasks::Running(OpenTasks { counted, more }),
            asked,
        }
    }

    #[test]
    fn every_page_is_asked_before_every_task_counts_as_asked() {
        let now = Instant::now();
        let mut passes = Passes::new(Request::Complete);
        assert_eq!(passes.next(now), Next::Ask(vec![]));
        assert_eq!(passes.asked(100, vec![1], now), progress(100, true, None));
        assert_eq!(passes.next(now), Next::Ask(vec![1]));
        assert_eq!(
            passes.asked(7, vec![], now),
            progress(107, false, Some(Request::Complete))
        );
        assert_eq!(passes.next(now), Next::Wait(now + FIRST_PAUSE));
    }

    #[test]
    fn tasks_are_asked_twice_and_then_only_counted_ever_less_often() {
        let mut now = Instant::now();
        let start = now;
        let mut passes = Passes::new(Request::Cancel);
        let mut done = Vec::new();
        while now < start + seconds(60) {
            match passes.next(now) {
                Next::Wait(at) => now = at,
                Next::Ask(_) => {
                    done.push(("ask", (now - start).as_secs()));
                    passes.asked(1, vec![], now);
                }
                Next::Count => {
                    done.push(("count", (now - start).as_secs()));
                    passes.counted(
                        OpenTasks {
                            counted: 1,
                            more: false,
                        },
                        now,
                    );
                }
            }
        }
        let expected = [
            ("ask", 0),
            ("count", 1),
            ("count", 3),
            ("ask", 7),
            ("count", 8),
            ("count", 10),
            ("count", 14),
            ("count", 22),
            ("count", 37),
            ("count", 52),
        ];
        assert_eq!(done, expected);
    }
}

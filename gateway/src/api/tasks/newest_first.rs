//! Lists workflows by their start, the newest first. Temporal lists those that run
//! before those that have ended, these by their end, and has no order to ask for in most
//! of its stores (`ORDER BY` is refused by SQL visibility and by Temporal Cloud). So the
//! time is divided into windows, from now into the past, and each is sorted here.

use jiff::{SignedDuration, Timestamp};
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;

use crate::temporal::{Temporal, TemporalError};

/// Pages that Temporal lists for one request.
const MAX_PAGES: usize = 50;
/// Windows without an end: each is at most four times as long as the one before.
const MAX_WINDOWS: usize = 32;
/// The first window.
const FIRST_WIDTH: SignedDuration = SignedDuration::from_mins(1);
/// A longer window is the last one: everything before.
const LONGEST_WIDTH: SignedDuration = SignedDuration::from_hours(24 * 365);
/// So few workflows in a window make the next one longer, so many make it shorter.
const FEW: usize = 50;
const MANY: usize = 400;

/// Reads a list step by step.
pub(super) struct NewestFirst<'a> {
    temporal: &'a Temporal,
    query: String,
    windows: Windows,
    pages_left: usize,
    has_begun: bool,
}

impl<'a> NewestFirst<'a> {
    pub(super) fn new(temporal: &'a Temporal, query: String) -> Self {
        Self {
            temporal,
            query,
            windows: Windows::until(Timestamp::now()),
            pages_left: MAX_PAGES,
            has_begun: false,
        }
    }

    /// The next workflows; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<WorkflowExecutionInfo>>, TemporalError> {
        if !std::mem::replace(&mut self.has_begun, true) {
            // Most lists have one page, which needs no windows.
            let (page, token) = self.temporal.list(&self.query, Vec::new()).await?;
            if token.is_empty() {
                self.pages_left = 0;
                return Ok(Some(sorted(page)));
            }
        }
        if self.pages_left == 0 {
            return Ok(None);
        }
        let Some(window) = self.windows.next() else {
            return Ok(None);
        };
        let query = format!("{}{}", self.query, window.condition());
        let mut found = Vec::new();
        let mut token = Vec::new();
        loop {
            let (page, next) = self.temporal.list(&query, token).await?;
            self.pages_left = self.pages_left.saturating_sub(usize::from(!page.is_empty()));
            found.extend(page);
            if next.is_empty() || self.pages_left == 0 {
                break;
            }
            token = next;
        }
        self.windows.adjust(found.len());
        Ok(Some(sorted(found)))
    }
}

fn sorted(mut found: Vec<WorkflowExecutionInfo>) -> Vec<WorkflowExecutionInfo> {
    found.sort_by_key(|info| {
        let start = info.start_time.as_ref().map(|time| (time.seconds, time.nanos));
        let run_id = info.execution.as_ref().map(|execution| execution.run_id.clone());
        (std::cmp::Reverse(start), run_id)
    });
    found
}

/// A part of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// Unlimited for the last one.
    from: Option<Timestamp>,
    /// Unlimited for the first one.
    before: Option<Timestamp>,
}

impl Window {
    fn condition(self) -> String {
        let from = self.from.map(|from| format!(" AND StartTime >= '{from}'"));
        let before = self.before.map(|before| format!(" AND StartTime < '{before}'"));
        from.into_iter().chain(before).collect()
    }
}

/// The windows from a time into the past.
#[derive(Clone, Debug)]
struct Windows {
    /// The start of the last window; at first the time itself.
    edge: Option<Timestamp>,
    width: SignedDuration,
    count: usize,
}

impl Windows {
    fn until(now: Timestamp) -> Self {
        // Whole seconds: the stores of Temporal differ in the digits that they keep.
        let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self {
            edge: Some(second),
            width: FIRST_WIDTH,
            count: 0,
        }
    }

    fn next(&mut self) -> Option<Window> {
        let edge = self.edge?;
        let is_last = self.width > LONGEST_WIDTH || self.count == MAX_WINDOWS;
        let from = if is_last {
            None
        } else {
            edge.checked_sub(self.width).ok()
        };
        let window = Window {
            from,
            before: (self.count > 0).then_some(edge),
        };
        self.edge = from;
        self.count += 1;
        Some(window)
    }

    /// Fits the length of the next window to what the last one had.
    fn adjust(&mut self, found: usize) {
        if found < FEW {
            self.width = self.width.saturating_mul(4);
        } else if found > MANY {
            self.width = (self.width / 4).max(FIRST_WIDTH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_cover_all_time_once_from_now_into_the_past() {
        let now: Timestamp = "2026-11-27T12:00:00.5Z".parse().unwrap();
        for found in [0, 100, 1_000] {
            let mut windows = Windows::until(now);
            let mut before = None;
            let mut count = 0;
            while let Some(window) = windows.next() {
                assert_eq!(window.before, before, "{found}");
                before = window.from;
                windows.adjust(found);
                count += 1;
            }
            assert_eq!(before, None);
            assert!(count <= MAX_WINDOWS + 1, "{count}");
        }
    }

    #[test]
    fn a_window_is_a_condition_of_visibility() {
        let mut windows = Windows::until("2026-11-27T12:00:00.5Z".parse().unwrap());
        assert_eq!(
            windows.next().unwrap().condition(),
            " AND StartTime >= '2026-11-27T11:59:00Z'"
        );
        windows.adjust(0);
        assert_eq!(
            windows.next().unwrap().condition(),
            " AND StartTime >= '2026-11-27T11:55:00Z' AND StartTime < '2026-11-27T11:59:00Z'"
        );
    }

    #[test]
    fn those_that_run_do_not_come_before_newer_ones_that_have_ended() {
        let info = |id: &str, seconds: i64| {
            let mut info = WorkflowExecutionInfo::default();
            info.execution.get_or_insert_default().run_id = id.to_owned();
            info.start_time.get_or_insert_default().seconds = seconds;
            info
        };
        // As Temporal lists them: the old one runs.
        let listed = sorted(vec![info("old", 1), info("new", 3), info("middle", 2)]);
        let ids: Vec<String> = listed
            .into_iter()
            .filter_map(|info| Some(info.execution?.run_id))
            .collect();
        assert_eq!(ids, ["new", "middle", "old"]);
    }
}

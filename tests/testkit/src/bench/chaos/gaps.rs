//! What a viewer missed or saw twice. Pure.

use serde::Serialize;
use steadfast_events::EntryId;

/// What a viewer received: an entry of the log, or a reset with all messages, which is as new as this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Entry(EntryId),
    Reset(Option<EntryId>),
}

/// Faults in what a viewer received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gaps {
    /// An entry did not follow the one before.
    pub gaps: usize,
    /// An entry came that was not newer than the one before.
    pub doubles: usize,
}

/// Counts the faults. After a reset without an id, any entry may follow.
pub(super) fn count(received: &[Received]) -> Gaps {
    let mut gaps = Gaps::default();
    let mut last: Option<EntryId> = None;
    for one in received {
        match *one {
            Received::Reset(id) => last = id,
            Received::Entry(id) => {
                match last {
                    Some(last) if id <= last => gaps.doubles += 1,
                    Some(last) if !last.is_followed_by(id) => gaps.gaps += 1,
                    _ => {}
                }
                last = Some(id);
            }
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(epoch: u64, number: u64) -> Received {
        Received::Entry(EntryId { epoch, number })
    }

    #[test]
    fn entries_in_a_row_and_entries_after_a_reset_have_no_gap() {
        let received = [
            entry(7, 1),
            entry(7, 2),
            Received::Reset(Some(EntryId { epoch: 9, number: 4 })),
            entry(9, 5),
            Received::Reset(None),
            entry(9, 1),
        ];
        assert_eq!(count(&received), Gaps::default());
    }

    #[test]
    fn a_missing_a_repeated_and_an_older_entry_are_counted() {
        let received = [entry(7, 1), entry(7, 3), entry(7, 3), entry(7, 2), entry(8, 1)];
        assert_eq!(count(&received), Gaps { gaps: 2, doubles: 2 });
    }
}

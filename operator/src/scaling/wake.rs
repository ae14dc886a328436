//! Whether the annotation by which the gateway wakes an Agent asks for something new. Pure, but for what it remembers.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use crate::kube::namespaced_name::NamespacedName;

/// How old an annotation may be that this process sees for the first time. What an older one asked for was done by the
/// process before, or the first poll of Temporal shows what waits.
const FRESH: Duration = Duration::from_mins(1);

/// The last annotation of each Agent.
#[derive(Debug, Default)]
pub(crate) struct Wakes(Mutex<HashMap<NamespacedName, Option<String>>>);

impl Wakes {
    /// Whether the Agent's annotation is new.
    pub(crate) fn is_new(&self, agent: &NamespacedName, value: Option<&str>, now: Timestamp) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.insert(agent.clone(), value.map(str::to_owned));
        drop(known);
        match (before, value) {
            (_, None) => false,
            (None, Some(value)) => is_fresh(value, now),
            (Some(before), Some(value)) => before.as_deref() != Some(value),
        }
    }

    /// Forgets an Agent that is gone.
    pub(crate) fn forget(&self, agent: &NamespacedName) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(agent);
    }
}

/// The clock of the gateway may be ahead.
fn is_fresh(value: &str, now: Timestamp) -> bool {
    let written = value.parse::<Timestamp>();
    written.is_ok_and(|written| now.duration_since(written).unsigned_abs() <= FRESH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_value_wakes_once() {
        let (wakes, agent) = (Wakes::default(), NamespacedName::new("team", "weather"));
        assert!(!wakes.is_new(&agent, None, at(0)));
        // Whatever the clock of its writer says.
        assert!(wakes.is_new(&agent, Some("1970-01-01T00:00:00Z"), at(10_000)));
        assert!(!wakes.is_new(&agent, Some("1970-01-01T00:00:00Z"), at(10_000)));
        assert!(wakes.is_new(&agent, Some("1970-01-01T00:00:10Z"), at(10_000)));
        assert!(!wakes.is_new(&agent, None, at(10_000)));
        wakes.forget(&agent);
        assert!(!wakes.is_new(&agent, Some("1970-01-01T00:00:10Z"), at(10_000)));
    }

    #[test]
    fn a_process_that_has_just_started_does_not_repeat_what_was_done_long_ago() {
        for (value, is_new) in [
            (at(1_000).to_string(), true),
            (at(941).to_string(), true),
            (at(1_059).to_string(), true),
            (at(939).to_string(), false),
            (at(1_061).to_string(), false),
            ("now".to_owned(), false),
        ] {
            let agent = NamespacedName::new("team", "weather");
            assert_eq!(
                Wakes::default().is_new(&agent, Some(&value), at(1_000)),
                is_new,
                "{value}"
            );
        }
    }
}

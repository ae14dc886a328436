//! The processor time of the bench's own threads, by name.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;

use crate::bench::process_usage::cpu_of;

/// Processor time by the name of the thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads(BTreeMap<String, Duration>);

/// The threads of this process.
pub(super) fn own() -> anyhow::Result<Threads> {
    let mut threads = Threads::default();
    for entry in std::fs::read_dir("/proc/self/task").context("list the threads")? {
        let path = entry.context("list the threads")?.path();
        // A thread may end meanwhile.
        let Ok(stat) = std::fs::read_to_string(path.join("stat")) else {
            continue;
        };
        let name = stat
            .split_once('(')
            .and_then(|(_, rest)| rest.rsplit_once(')'))
            .map(|(name, _)| name.to_owned());
        if let (Some(name), Some(used)) = (name, cpu_of(&stat)) {
            *threads.0.entry(name).or_default() += used;
        }
    }
    Ok(threads)
}

impl Threads {
    /// The time of the threads with this name, which the kernel cuts after 15 bytes.
    pub(super) fn of(&self, name: &str) -> Duration {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> Duration {
        self.0.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_is_among_the_threads() {
        let threads = own().unwrap();
        assert!(!threads.0.is_empty());
        assert!(threads.all() >= threads.of("no such thread"));
    }
}

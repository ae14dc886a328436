//! What a process has used, from `/proc`.

use std::time::Duration;

use anyhow::Context as _;

use crate::process::{ProcessId, Service};

/// Clock ticks per second in `/proc/<id>/stat`: `USER_HZ`, 100 on every Linux architecture that we build for.
const TICKS_PER_SECOND: u32 = 100;

/// The processor time of a service's process, of all its threads.
pub(super) fn cpu(service: &Service) -> anyhow::Result<Duration> {
    let path = format!("/proc/{}/stat", running(service)?.id());
    let stat = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    cpu_of(&stat).with_context(|| format!("find the processor time in {path}"))
}

/// The resident memory of a service's process, in megabytes of 10^6 bytes.
pub(super) fn resident_megabytes(service: &Service) -> anyhow::Result<f64> {
    Ok(memory(service)?.megabytes)
}

/// The same in mebibytes of 2^20 bytes, in which Kubernetes counts.
pub(super) fn resident_mebibytes(service: &Service) -> anyhow::Result<f64> {
    Ok(resident_megabytes(service)? * 1e6 / 1_048_576.0)
}

/// The resident memory of a process, in megabytes of 10^6 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ResidentMemory {
    pub(super) megabytes: f64,
    /// The part that is no page of a file.
    pub(super) anonymous_megabytes: f64,
}

/// The resident memory of a service's process.
pub(super) fn memory(service: &Service) -> anyhow::Result<ResidentMemory> {
    let path = format!("/proc/{}/status", running(service)?.id());
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    memory_of(&status).with_context(|| format!("find the resident memory in {path}"))
}

/// The memory of a service's process in megabytes, in which a page that several processes share counts in parts (PSS).
pub(super) fn proportional_megabytes(service: &Service) -> anyhow::Result<f64> {
    let path = format!("/proc/{}/smaps_rollup", running(service)?.id());
    let rollup = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    megabytes_of(&rollup, "Pss:").with_context(|| format!("find Pss in {path}"))
}

fn running(service: &Service) -> anyhow::Result<ProcessId> {
    service.process().filter(|process| process.is_alive()).with_context(|| {
        format!(
            "{} does not run; its log is {}",
            service.name(),
            service.log().display()
        )
    })
}

/// Fields 14 and 15, counted from the last parenthesis: the program's name may contain spaces.
pub(super) fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    let total = ticks()?.checked_add(ticks()?)?;
    Some(Duration::from_secs(1) * total / TICKS_PER_SECOND)
}

fn memory_of(status: &str) -> Option<ResidentMemory> {
    Some(ResidentMemory {
        megabytes: megabytes_of(status, "VmRSS:")?,
        anonymous_megabytes: megabytes_of(status, "RssAnon:")?,
    })
}

fn megabytes_of(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kibibytes) * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_whatever_the_name_contains() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 7 8 20 0 1 0 98765 1000 2";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu_of("7 (a) S 1"), None);
    }

    #[test]
    fn resident_memory_is_read_in_megabytes() {
        let status = "Name:\ta\nVmRSS:\t  125000 kB\nRssAnon:\t  62500 kB\nThreads:\t1\n";
        let memory = ResidentMemory {
            megabytes: 128.0,
            anonymous_megabytes: 64.0,
        };
        assert_eq!(memory_of(status), Some(memory));
        assert_eq!(memory_of("Name:\ta\n"), None);
    }
}

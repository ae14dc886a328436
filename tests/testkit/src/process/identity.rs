//! The identity of a process: its id and its start time.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// Identifies a process, and no later one with the same id. Written as `<id>-<start>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    id: i32,
    /// Clock ticks after boot, from `/proc/<id>/stat`.
    started_ticks: u64,
}

/// Two fields of `/proc/<id>/stat`.
struct Stat {
    state: char,
    started_ticks: u64,
}

impl ProcessId {
    /// The process that has this id now.
    pub fn of(id: i32) -> anyhow::Result<Self> {
        let stat = read_stat(id).with_context(|| format!("read the state of process {id}"))?;
        Ok(Self {
            id,
            started_ticks: stat.started_ticks,
        })
    }

    pub fn of_this_process() -> anyhow::Result<Self> {
        Self::of(nix::unistd::getpid().as_raw())
    }

    pub fn id(self) -> i32 {
        self.id
    }

    /// False for a zombie.
    pub fn is_alive(self) -> bool {
        read_stat(self.id).is_some_and(|stat| stat.started_ticks == self.started_ticks && stat.state != 'Z')
    }

    /// Sends a signal. Does nothing if the process is dead.
    pub fn signal(self, signal: Signal) -> anyhow::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.id), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(source) => Err(source).with_context(|| format!("send {signal} to process {}", self.id)),
        }
    }

    /// Sends SIGKILL and waits until the process is gone.
    pub async fn kill(self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        crate::wait::until(format!("process {} to die", self.id), KILL_TIMEOUT, async || {
            if self.is_gone() {
                Ok(())
            } else {
                bail!("it still exists")
            }
        })
        .await
    }

    /// Like [`kill`](Self::kill), for synchronous code.
    #[expect(
        clippy::disallowed_methods,
        reason = "called from drop, where nothing can be awaited"
    )]
    pub fn kill_blocking(self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        let deadline = Instant::now() + KILL_TIMEOUT;
        while !self.is_gone() {
            if Instant::now() > deadline {
                bail!("process {} does not die", self.id);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// True when not one thread is left, which could still hold a port. Reaps the
    /// process if it is a child of this one.
    fn is_gone(self) -> bool {
        if self.is_alive() {
            return false;
        }
        match waitpid(Pid::from_raw(self.id), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => false,
            Ok(_) => true,
            // The child of another process, which will reap it: count its threads.
            Err(_) => {
                let threads = std::fs::read_dir(format!("/proc/{}/task", self.id));
                threads.map_or(0, Iterator::count) <= 1
            }
        }
    }
}

const KILL_TIMEOUT: Duration = Duration::from_secs(20);

impl fmt::Display for ProcessId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.id, self.started_ticks)
    }
}

impl FromStr for ProcessId {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (id, started_ticks) = text
            .trim()
            .split_once('-')
            .with_context(|| format!("{text:?} is not a process id"))?;
        Ok(Self {
            id: id.parse()?,
            started_ticks: started_ticks.parse()?,
        })
    }
}

fn read_stat(id: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    parse_stat(&text)
}

/// The program's name is in parentheses and may contain spaces and parentheses, so
/// fields are counted from the last parenthesis.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let started_ticks = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, started_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let line = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.state, stat.started_ticks), ('S', 98765));
    }

    #[test]
    fn a_process_id_survives_a_round_trip_through_text() {
        let this = ProcessId::of_this_process().unwrap();
        assert_eq!(this.to_string().parse::<ProcessId>().unwrap(), this);
    }

    #[test]
    fn a_recycled_id_is_not_alive() {
        let this = ProcessId::of_this_process().unwrap();
        let earlier = ProcessId {
            started_ticks: this.started_ticks - 1,
            ..this
        };
        assert_eq!((this.is_alive(), earlier.is_alive()), (true, false));
    }
}

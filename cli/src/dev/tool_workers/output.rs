//! Shows the output of a worker, each line with the name of the worker.

use std::{
    io::{self, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    task::JoinHandle,
    time::sleep,
};

use super::super::status;
use crate::printable::printable;

const PERIOD: Duration = Duration::from_millis(200);

/// Follows a log until it is dropped.
#[derive(Debug)]
pub(super) struct Follower(JoinHandle<()>);

impl Follower {
    pub(super) fn start(name: &str, log: PathBuf) -> Self {
        let name = name.to_owned();
        Self(tokio::spawn(async move {
            let mut position = Position::default();
            loop {
                // The file is missing until the program starts.
                if let Ok(lines) = position.new_lines(&log).await {
                    for line in lines {
                        status(&format!("[{name}] {}", printable(&line)));
                    }
                }
                sleep(PERIOD).await;
            }
        }))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far a log was read.
#[derive(Debug, Default)]
struct Position {
    bytes: u64,
    /// The line without an end.
    rest: Vec<u8>,
}

impl Position {
    async fn new_lines(&mut self, log: &PathBuf) -> io::Result<Vec<String>> {
        let mut file = File::open(log).await?;
        if file.metadata().await?.len() < self.bytes {
            // The program was started again with an empty log.
            *self = Self::default();
        }
        file.seek(SeekFrom::Start(self.bytes)).await?;
        let mut new = Vec::new();
        file.read_to_end(&mut new).await?;
        self.bytes += u64::try_from(new.len()).unwrap_or_default();
        self.rest.extend(new);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whole_lines_are_shown_once_also_after_a_new_start() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut position = Position::default();
        std::fs::write(&log, "one\ntw").unwrap();
        assert_eq!(position.new_lines(&log).await.unwrap(), ["one"]);
        std::fs::write(&log, "one\ntwo\n").unwrap();
        assert_eq!(position.new_lines(&log).await.unwrap(), ["two"]);
        std::fs::write(&log, "new\n").unwrap();
        assert_eq!(position.new_lines(&log).await.unwrap(), ["new"]);
    }
}

//! Shows the output of a worker, each line with the name of the worker.

use std::{
    io::{self, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    task::JoinHandle,
    time::sleep,
};

use super::super::{child::previous_log, status};
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
    /// Each start of the program has a file of its own.
    inode: u64,
    bytes: u64,
    /// The line without an end.
    rest: Vec<u8>,
}

impl Position {
    async fn new_lines(&mut self, log: &Path) -> io::Result<Vec<String>> {
        let mut file = File::open(log).await?;
        let inode = file.metadata().await?.ino();
        let mut lines = Vec::new();
        if self.inode != inode {
            // What the program printed last, before it was started again, often says why it ended.
            if let Ok(mut last) = File::open(previous_log(log)).await
                && last.metadata().await?.ino() == self.inode
            {
                lines = self.read(&mut last).await?;
                if !self.rest.is_empty() {
                    lines.push(String::from_utf8_lossy(&self.rest).into_owned());
                }
            }
            *self = Self {
                inode,
                ..Self::default()
            };
        }
        lines.extend(self.read(&mut file).await?);
        Ok(lines)
    }

    async fn read(&mut self, file: &mut File) -> io::Result<Vec<String>> {
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
        // As long as the last one, whose end was not read yet.
        std::fs::write(&log, "one\ntwo\nfailed").unwrap();
        std::fs::rename(&log, previous_log(&log)).unwrap();
        std::fs::write(&log, "new\nnew\nstarted\n").unwrap();
        let lines = position.new_lines(&log).await.unwrap();
        assert_eq!(lines, ["failed", "new", "new", "started"]);
        assert!(position.new_lines(&log).await.unwrap().is_empty());
    }
}

//! The state directory: everything that the next start continues with.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// The name that marks a directory as ours, so that `--clean` never deletes another one.
const LOCK: &str = "lock";
const CHILDREN: &str = "children.lock";
/// How long the last run may take to end: Ctrl-C or `kill -9`, and the next start at once, is no error.
const LAST_RUN_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than a supervisor gives its program to end.
const CHILDREN_TIMEOUT: Duration = Duration::from_secs(15);
const POLL_PERIOD: Duration = Duration::from_millis(50);

/// `.steadfast/` by default.
#[derive(Debug)]
pub(super) struct StateDir {
    root: PathBuf,
    /// Held until the program ends.
    _lock: File,
}

impl StateDir {
    /// Creates the directory if there is none. Fails while another `steadfast dev` uses it.
    pub(super) fn open(path: &Path, clean: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("create the directory {}", path.display()))?;
        let root = fs::canonicalize(path).with_context(|| format!("find {}", path.display()))?;
        if fs::read_dir(&root)?.next().is_some() && !root.join(LOCK).exists() {
            bail!(
                "{} is not empty and was not made by `steadfast dev`: name another directory",
                root.display()
            );
        }
        let lock = File::create(root.join(LOCK)).with_context(|| format!("write to {}", root.display()))?;
        let is_free =
            lock_within(LAST_RUN_TIMEOUT, || lock.try_lock()).with_context(|| format!("lock {}", root.display()))?;
        if !is_free {
            bail!(
                "another `steadfast dev` uses {}: end it, or name another directory with --state-dir",
                root.display()
            );
        }
        let state = Self { root, _lock: lock };
        state.wait_for_children()?;
        if clean {
            state.clean()?;
        }
        for directory in ["revisions", "valkey", "logs", "tasks", "attachments"] {
            let path = state.root.join(directory);
            fs::create_dir_all(&path).with_context(|| format!("create the directory {}", path.display()))?;
        }
        Ok(state)
    }

    /// Waits until the programs of the last run have ended; they do, however that run ended.
    fn wait_for_children(&self) -> anyhow::Result<()> {
        let path = self.children_lock();
        let lock = File::create(&path).with_context(|| format!("write {}", path.display()))?;
        let are_gone =
            lock_within(CHILDREN_TIMEOUT, || lock.try_lock()).with_context(|| format!("lock {}", path.display()))?;
        if !are_gone {
            bail!(
                "programs of the last run still use {}: end them (`pgrep -f {0}` lists them)",
                self.root.display()
            );
        }
        Ok(())
    }

    /// The file that every program of a run locks, shared.
    pub(super) fn children_lock(&self) -> PathBuf {
        self.root.join(CHILDREN)
    }

    fn clean(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else if path.file_name().is_some_and(|name| name == LOCK || name == CHILDREN) {
                Ok(())
            } else {
                fs::remove_file(&path)
            };
            removed.with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    /// The AgentRevisions, which workers and the gateway read.
    pub(super) fn revisions(&self) -> PathBuf {
        self.root.join("revisions")
    }

    /// The database of Temporal.
    pub(super) fn temporal_database(&self) -> PathBuf {
        self.root.join("temporal.db")
    }

    /// The directory of Valkey.
    pub(super) fn valkey(&self) -> PathBuf {
        self.root.join("valkey")
    }

    /// The attachments of messages.
    pub(super) fn attachments(&self) -> PathBuf {
        self.root.join("attachments")
    }

    /// The log of a child process.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// The logs of child processes.
    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The task that the chat with an agent continues.
    pub(super) fn task(&self, agent: &str) -> anyhow::Result<Option<String>> {
        match fs::read_to_string(self.task_file(agent)) {
            Ok(task) => Ok(Some(task.trim().to_owned()).filter(|task| !task.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("read the task of the last chat"),
        }
    }

    /// Remembers the task of a chat.
    pub(super) fn set_task(&self, agent: &str, task: &str) -> anyhow::Result<()> {
        fs::write(self.task_file(agent), task).context("remember the task of the chat")
    }

    fn task_file(&self, agent: &str) -> PathBuf {
        self.root.join("tasks").join(agent)
    }
}

/// Tries to lock until it succeeds or the time is over. Returns whether it has succeeded.
fn lock_within(timeout: Duration, mut try_lock: impl FnMut() -> Result<(), TryLockError>) -> io::Result<bool> {
    let begin = Instant::now();
    loop {
        match try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if begin.elapsed() < timeout => std::thread::park_timeout(POLL_PERIOD),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_just_ending_is_waited_for() {
        let mut attempts = 0;
        let locked = lock_within(LAST_RUN_TIMEOUT, || {
            attempts += 1;
            if attempts < 3 {
                Err(TryLockError::WouldBlock)
            } else {
                Ok(())
            }
        });
        assert!(locked.unwrap());
        assert_eq!(attempts, 3);
        assert!(!lock_within(Duration::ZERO, || Err(TryLockError::WouldBlock)).unwrap());
    }

    #[test]
    fn a_task_is_remembered_until_the_state_is_cleaned() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        {
            let state = StateDir::open(&path, false).unwrap();
            assert_eq!(state.task("weather").unwrap(), None);
            state.set_task("weather", "t1").unwrap();
        }
        let again = StateDir::open(&path, false).unwrap();
        assert_eq!(again.task("weather").unwrap().as_deref(), Some("t1"));
        let busy = StateDir::open(&path, false).unwrap_err();
        assert!(busy.to_string().contains("another `steadfast dev` uses"), "{busy}");
        drop(again);
        assert_eq!(StateDir::open(&path, true).unwrap().task("weather").unwrap(), None);
    }

    #[test]
    fn a_directory_of_others_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.txt"), "years of work").unwrap();
        assert!(StateDir::open(directory.path(), true).is_err());
        assert!(directory.path().join("thesis.txt").exists());
    }
}

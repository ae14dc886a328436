//! The processes of this machine, as `/proc` shows them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) struct Process {
    pub(crate) id: u32,
    /// The file that it runs.
    pub(crate) program: PathBuf,
    arguments: Vec<Vec<u8>>,
    environment: Vec<u8>,
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        let directory = Path::new("/proc").join(id.to_string());
        // It may end just now.
        let arguments = fs::read(directory.join("cmdline")).ok()?;
        Some(Self {
            id,
            program: fs::read_link(directory.join("exe")).ok()?,
            arguments: arguments.split(|byte| *byte == 0).map(<[u8]>::to_owned).collect(),
            environment: fs::read(directory.join("environ")).ok()?,
        })
    }

    pub(crate) fn has_variable(&self, name: &str, value: &str) -> bool {
        let variable = format!("{name}={value}");
        self.environment
            .split(|byte| *byte == 0)
            .any(|found| found == variable.as_bytes())
    }

    /// Whether it is a `steadfast` that runs another program.
    pub(crate) fn is_supervisor(&self) -> bool {
        self.program.ends_with("steadfast") && self.arguments.get(1).is_some_and(|argument| argument == b"supervise")
    }
}

/// The processes with an argument that is this path or one below it.
pub(crate) fn with_argument_below(path: &Path) -> Vec<Process> {
    // As `steadfast dev` passes it on.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let path = path.as_os_str().as_encoded_bytes();
    let entries = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let processes = entries.filter_map(Process::read);
    processes
        .filter(|process| process.arguments.iter().any(|argument| argument.starts_with(path)))
        .collect()
}

/// The processes that one has started, and that still run.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    entries
        .filter(|id| status(*id).is_some_and(|(_, parent)| parent == of))
        .collect()
}

/// Whether a process has not ended. One that nobody has waited for has ended.
pub(crate) fn is_running(id: u32) -> bool {
    status(id).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// `kill -9` of all of them at once.
pub(crate) fn kill(ids: impl IntoIterator<Item = u32>) {
    let ids = ids.into_iter().map(|id| id.to_string());
    // One of them may have ended by itself.
    Command::new("kill").arg("-9").args(ids).output().unwrap();
}

/// The state of a process, and its parent.
fn status(id: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program is in parentheses, and may contain anything.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

//! A person at a terminal: a shell in a pseudo-terminal, what is typed, and what the
//! screen shows. Everything is recorded.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZeroU16,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{OpenptyResult, Winsize, openpty},
    sys::termios::Termios,
};
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

use super::recording::{Recording, screen};

/// Longer than pip takes to install what a worker in Python needs.
const TIMEOUT: Duration = Duration::from_mins(3);
const ROWS: u16 = 26;
/// In the recording, how long a person reads before typing. The test does not wait.
const READING: Duration = Duration::from_millis(1400);
const CTRL_C: &[u8] = b"\x03";
const CTRL_D: &[u8] = b"\x04";

pub(crate) struct Terminal {
    shell: Child,
    keyboard: File,
    output: mpsc::UnboundedReceiver<Vec<u8>>,
    opened_at: Instant,
    /// The time of a person that was not spent.
    reading: Duration,
    recording: Recording,
    /// Bytes of a character whose end has not come yet.
    incomplete: Vec<u8>,
    screen: vt100::Parser,
    /// The row in which the last line was typed.
    typed_at: u16,
}

impl Terminal {
    /// Starts a shell, and waits for its prompt.
    pub(crate) async fn open(mut shell: Command, columns: u16) -> Self {
        let size = Winsize {
            ws_row: ROWS,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None::<&Termios>).unwrap();
        for end in [&master, &slave] {
            // The processes of other tests would keep the terminal open.
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let duplicate = |end: &OwnedFd| end.try_clone().unwrap();
        shell.stdin(duplicate(&slave)).stdout(duplicate(&slave)).stderr(slave);
        let child = shell.spawn().unwrap();
        // The command holds the terminal open too.
        drop(shell);
        let keyboard = File::from(duplicate(&master));
        let columns = NonZeroU16::new(columns).unwrap();
        let mut terminal = Self {
            shell: child,
            keyboard,
            output: read(File::from(master)),
            opened_at: Instant::now(),
            reading: Duration::ZERO,
            recording: Recording::new(columns, NonZeroU16::new(ROWS).unwrap()),
            incomplete: Vec::new(),
            screen: screen(columns),
            typed_at: 0,
        };
        terminal.prompt("$").await;
        terminal
    }

    /// Waits until the cursor is behind a prompt.
    pub(crate) async fn prompt(&mut self, prompt: &str) {
        self.until(&format!("the prompt {prompt}"), |terminal| {
            let (row, _) = terminal.screen.screen().cursor_position();
            terminal.row(row).trim_end() == prompt
        })
        .await;
    }

    /// Waits until a text is shown, after the last line that was typed.
    pub(crate) async fn shows(&mut self, text: &str) {
        self.until(&format!("{text:?}"), |terminal| terminal.shown().contains(text))
            .await;
    }

    /// Types a line, with Enter.
    pub(crate) async fn types(&mut self, line: &str) {
        self.reading += READING;
        (self.typed_at, _) = self.screen.screen().cursor_position();
        self.keyboard.write_all(format!("{line}\r").as_bytes()).unwrap();
        self.until(&format!("the typed line {line:?}"), |terminal| {
            // A line may be printed above the prompt meanwhile.
            terminal.shown().contains(&format!("{line}\n"))
        })
        .await;
    }

    pub(crate) fn ctrl_c(&mut self) {
        self.keyboard.write_all(CTRL_C).unwrap();
    }

    pub(crate) fn ctrl_d(&mut self) {
        self.keyboard.write_all(CTRL_D).unwrap();
    }

    /// Says in the recording what happens beside the terminal.
    pub(crate) fn mark(&mut self, text: &str) {
        self.recording.add_marker(self.now(), text);
    }

    /// What is on the screen, from the last line that was typed on.
    pub(crate) fn shown(&self) -> String {
        let screen = self.screen.screen();
        let (rows, columns) = screen.size();
        screen.contents_between(self.typed_at, 0, rows.get() - 1, columns.get())
    }

    pub(crate) fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Leaves the shell. Nothing keeps the terminal open.
    pub(crate) async fn close(mut self) -> Recording {
        self.keyboard.write_all(b"exit\r").unwrap();
        let ended = timeout(TIMEOUT, async {
            while let Some(bytes) = self.output.recv().await {
                self.show(&bytes);
            }
            self.shell.wait().await.unwrap();
        });
        assert!(
            ended.await.is_ok(),
            "the terminal stays open:\n{}",
            self.screen.screen().contents()
        );
        self.recording
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let is_shown = timeout(TIMEOUT, async {
            while !is_so(self) {
                match self.output.recv().await {
                    Some(bytes) => self.show(&bytes),
                    None => return false,
                }
            }
            true
        });
        assert!(
            is_shown.await == Ok(true),
            "the terminal does not show {what}:\n{}",
            self.screen.screen().contents()
        );
    }

    fn show(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.incomplete.extend_from_slice(bytes);
        let whole = match str::from_utf8(&self.incomplete) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let rest = self.incomplete.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.incomplete, rest)).unwrap();
        self.recording.add_output(self.now(), text);
    }

    /// The time of the recording.
    fn now(&self) -> Duration {
        self.opened_at.elapsed() + self.reading
    }

    fn row(&self, row: u16) -> String {
        let screen = self.screen.screen();
        screen
            .rows(0, screen.size().1.get())
            .nth(row.into())
            .unwrap_or_default()
    }
}

/// What the terminal prints, until the last process has closed it.
fn read(mut terminal: File) -> mpsc::UnboundedReceiver<Vec<u8>> {
    let (sender, output) = mpsc::unbounded_channel();
    // A thread of its own: a read waits.
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // At the end, Linux reports an error.
        while let Ok(length @ 1..) = terminal.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    output
}

//! A shell at a pseudo-terminal, which the program `script` of util-linux makes.
//! Everything that it shows is recorded.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::timeout,
};

use super::{
    super::desk::{self, Desk},
    cast::{Cast, Event, Kind},
};

/// Longer than pip takes to install what the worker in Python needs.
const TIMEOUT: Duration = Duration::from_mins(3);

pub(super) struct Terminal {
    _child: Child,
    keyboard: ChildStdin,
    begin: Instant,
    events: Arc<Mutex<Vec<Event>>>,
    /// The number of bytes that were shown.
    shown: watch::Receiver<usize>,
    /// How far the text was waited for.
    read: usize,
    columns: usize,
    rows: usize,
}

impl Terminal {
    /// A shell in the directory of the manifests, with `steadfast` and its services on PATH.
    pub(super) fn open(desk: &Desk, columns: usize, rows: usize) -> Self {
        let shell = format!("stty cols {columns} rows {rows}; exec env PS1='$ ' bash --norc --noprofile --noediting -i");
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &shell, "/dev/null"])
            .current_dir(desk.agents())
            .env_remove("OPENAI_API_KEY")
            .env_remove("NO_COLOR")
            .env_remove("ENV")
            .env("PATH", desk::path_of_programs())
            .env("TERM", "xterm")
            .env("STEADFAST_CACHE", desk.cache())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let keyboard = child.stdin.take().unwrap();
        let mut screen = child.stdout.take().unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let (sender, shown) = watch::channel(0);
        let begin = Instant::now();
        let recorded = Arc::clone(&events);
        let place = desk.agents().display().to_string();
        tokio::spawn(async move {
            let mut rest = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer).await {
                rest.extend_from_slice(&buffer[..count]);
                // A character may be cut in two.
                let whole = match str::from_utf8(&rest) {
                    Ok(_) => rest.len(),
                    Err(error) => error.valid_up_to(),
                };
                let text = String::from_utf8(rest.drain(..whole).collect()).unwrap();
                let event = Event {
                    time: begin.elapsed().as_secs_f64(),
                    kind: Kind::Output,
                    text: text.replace(&place, "~/purchasing"),
                };
                let length = event.text.len();
                recorded.lock().unwrap().push(event);
                sender.send_modify(|shown| *shown += length);
            }
        });
        Self {
            _child: child,
            keyboard,
            begin,
            events,
            shown,
            read: 0,
            columns,
            rows,
        }
    }

    /// Waits until a text is shown after what was waited for before.
    pub(super) async fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let all = self.cast().text();
            if let Some(index) = all[self.read..].find(text) {
                self.read += index + text.len();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let changed = timeout(left, self.shown.changed()).await;
            assert!(
                matches!(changed, Ok(Ok(()))),
                "{text:?} was not shown; the terminal shows\n{all}"
            );
        }
    }

    pub(super) async fn type_line(&mut self, line: &str) {
        self.type_text(&format!("{line}\n")).await;
    }

    pub(super) async fn type_text(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).await.unwrap();
        self.keyboard.flush().await.unwrap();
    }

    /// Notes something that happens outside of the terminal.
    pub(super) fn mark(&mut self, text: &str) {
        let event = Event {
            time: self.begin.elapsed().as_secs_f64(),
            kind: Kind::Marker,
            text: text.to_owned(),
        };
        self.events.lock().unwrap().push(event);
    }

    /// The recording so far.
    fn cast(&self) -> Cast {
        Cast {
            columns: self.columns,
            rows: self.rows,
            events: self.events.lock().unwrap().clone(),
        }
    }

    pub(super) fn close(self) -> Cast {
        self.cast()
    }
}

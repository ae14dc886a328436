//! What a terminal showed, and when: an asciicast, which `asciinema play` plays.
//! Source of the format: <https://docs.asciinema.org/manual/asciicast/v2/>

use std::{fmt::Write as _, num::NonZeroU16, time::Duration};

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Enough for a session, so that nothing scrolls away.
const ROWS: NonZeroU16 = NonZeroU16::new(500).unwrap();
/// Longer pauses are cut when a recording is played.
const IDLE_SECONDS: f64 = 1.5;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recording {
    pub(crate) columns: NonZeroU16,
    pub(crate) rows: NonZeroU16,
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Since the beginning.
    pub(crate) seconds: f64,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    #[serde(rename = "o")]
    Output,
    #[serde(rename = "m")]
    Marker,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u8,
    width: NonZeroU16,
    height: NonZeroU16,
    idle_time_limit: f64,
}

/// A terminal of this width that never scrolls.
pub(crate) fn screen(columns: NonZeroU16) -> vt100::Parser {
    vt100::Parser::new(ROWS, columns, 0)
}

impl Recording {
    pub(crate) fn new(columns: NonZeroU16, rows: NonZeroU16) -> Self {
        Self {
            columns,
            rows,
            events: Vec::new(),
        }
    }

    pub(crate) fn add_output(&mut self, at: Duration, text: String) {
        self.add(at, Kind::Output, text);
    }

    pub(crate) fn add_marker(&mut self, at: Duration, text: &str) {
        self.add(at, Kind::Marker, text.to_owned());
    }

    fn add(&mut self, at: Duration, kind: Kind, text: String) {
        let seconds = (at.as_secs_f64() * 1000.0).round() / 1000.0;
        self.events.push(Event { seconds, kind, text });
    }

    /// Everything that was printed, with its escape sequences.
    pub(crate) fn output(&self) -> String {
        let output = self.events.iter().filter(|event| event.kind == Kind::Output);
        output.map(|event| event.text.as_str()).collect()
    }

    /// The events, without long pauses.
    pub(crate) fn without_pauses(&self) -> Vec<Event> {
        let mut events = self.events.clone();
        let (mut last, mut cut) = (0.0, 0.0);
        for event in &mut events {
            cut += (event.seconds - last - IDLE_SECONDS).max(0.0);
            last = event.seconds;
            event.seconds -= cut;
        }
        events
    }

    pub(crate) fn parse(cast: &str) -> Self {
        let mut lines = cast.lines();
        let Header { width, height, .. } = serde_json::from_str(lines.next().unwrap()).unwrap();
        let event = |line: &str| {
            let (seconds, kind, text) = serde_json::from_str(line).unwrap();
            Event { seconds, kind, text }
        };
        Self {
            columns: width,
            rows: height,
            events: lines.map(event).collect(),
        }
    }

    pub(crate) fn to_cast(&self) -> String {
        let header = Header {
            version: 2,
            width: self.columns,
            height: self.rows,
            idle_time_limit: IDLE_SECONDS,
        };
        let mut cast = serde_json::to_string(&header).unwrap() + "\n";
        for Event { seconds, kind, text } in &self.events {
            let line = serde_json::to_string(&(seconds, kind, text)).unwrap();
            writeln!(cast, "{line}").unwrap();
        }
        cast
    }

    /// What was on the screen in the end, without what differs from session to session: ids, ports and times, and the
    /// output of the tool's worker, which comes when it comes.
    pub(crate) fn text(&self) -> String {
        let mut screen = screen(self.columns);
        screen.process(self.output().as_bytes());
        let mut text = screen.screen().contents();
        for (pattern, replacement) in [
            (r"(?m)^(\[purchasing-tools\]|purchasing-tools: installing) .*\n", ""),
            (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"),
            (r"\bO-[0-9a-f]{8}\b", "ORDER"),
            (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME"),
        ] {
            text = Regex::new(pattern)
                .unwrap()
                .replace_all(&text, replacement)
                .into_owned();
        }
        text
    }
}

#[test]
fn a_recording_is_read_as_it_was_written_and_played_without_long_pauses() {
    let mut recording = Recording::new(NonZeroU16::new(80).unwrap(), NonZeroU16::new(24).unwrap());
    recording.add_output(Duration::from_millis(500), "$ \u{1b}[1mls\u{1b}[0m\r\n".to_owned());
    recording.add_marker(Duration::from_millis(4500), "a pause");
    recording.add_output(Duration::from_secs(5), "127.0.0.1:4711\r\n".to_owned());
    assert_eq!(Recording::parse(&recording.to_cast()), recording);
    let seconds: Vec<_> = recording.without_pauses().iter().map(|event| event.seconds).collect();
    assert_eq!(seconds, [0.5, 2.0, 2.5]);
    assert_eq!(recording.text(), "$ ls\n127.0.0.1:PORT");
}

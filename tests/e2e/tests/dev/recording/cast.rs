//! A recording in the format asciicast v2: a header, and one event per line.
//! <https://docs.asciinema.org/manual/asciicast/v2/>

use serde_json::{Value, json};

/// Longer pauses are shortened by players.
const IDLE_TIME_LIMIT: f64 = 1.5;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cast {
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    /// Seconds since the start.
    pub(super) time: f64,
    pub(super) kind: Kind,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Output,
    /// Something that happens outside of the terminal.
    Marker,
}

impl Cast {
    /// All output.
    pub(super) fn text(&self) -> String {
        let output = self.events.iter().filter(|event| event.kind == Kind::Output);
        output.map(|event| event.text.as_str()).collect()
    }

    pub(super) fn to_asciicast(&self) -> String {
        let header = json!({
            "version": 2, "width": self.columns, "height": self.rows, "idle_time_limit": IDLE_TIME_LIMIT,
            "title": "steadfast dev",
        });
        let mut lines = header.to_string() + "\n";
        for event in &self.events {
            let code = match event.kind {
                Kind::Output => "o",
                Kind::Marker => "m",
            };
            let time = (event.time * 1000.0).round() / 1000.0;
            lines.push_str(&json!([time, code, event.text]).to_string());
            lines.push('\n');
        }
        lines
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let header: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        let size = |name: &str| usize::try_from(header[name].as_u64().unwrap()).unwrap();
        let events = lines.map(|line| {
            let event: (f64, String, String) = serde_json::from_str(line).unwrap();
            Event {
                time: event.0,
                kind: if event.1 == "m" { Kind::Marker } else { Kind::Output },
                text: event.2,
            }
        });
        Self {
            columns: size("width"),
            rows: size("height"),
            events: events.collect(),
        }
    }

    /// The events with pauses as players show them.
    pub(super) fn played(&self) -> impl Iterator<Item = (f64, &Event)> {
        let mut last = 0.0;
        let mut played = 0.0;
        self.events.iter().map(move |event| {
            played += (event.time - last).min(IDLE_TIME_LIMIT);
            last = event.time;
            (played, event)
        })
    }
}

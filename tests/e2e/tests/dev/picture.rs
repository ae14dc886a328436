//! Draws a recording as an SVG that moves. All rows of the session are on one page,
//! each in the time in which it is seen, and the page scrolls. A viewer that does not
//! animate shows the end.

use std::fmt::Write as _;

use super::recording::{Event, Kind, Recording, screen};

const LINE_HEIGHT: f64 = 19.0;
const CHARACTER_WIDTH: f64 = 8.43;
const MARGIN: f64 = 14.0;
/// What comes sooner after another is shown with it.
const TOGETHER_SECONDS: f64 = 0.05;
const MARKER_SECONDS: f64 = 4.0;
/// How long the end is seen.
const END_SECONDS: f64 = 6.0;
const STYLE: &str = "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;\
                     fill:#d6dbe2;white-space:pre}.b{font-weight:bold;fill:#fff}.d{fill:#8b949e}.r{fill:#ff7b72}\
                     .m{fill:#e3b341}";

/// Something that is seen for a time.
struct Seen {
    row: usize,
    markup: String,
    from: f64,
    /// Absent if it is seen at the end.
    until: Option<f64>,
}

pub(crate) fn draw(recording: &Recording) -> String {
    let events = recording.without_pauses();
    let total = events.last().map_or(0.0, |event| event.seconds) + END_SECONDS;
    let visible_rows = usize::from(recording.rows.get());
    let (rows, scrolls) = play(recording, &events);
    let width = f64::from(recording.columns.get()) * CHARACTER_WIDTH + 2.0 * MARGIN;
    let page = f64::from(recording.rows.get()) * LINE_HEIGHT;
    // The rows, a margin, and the line of markers.
    let height = page + LINE_HEIGHT + 3.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#161b22\"/>\n\
         <svg x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{:.0}\" height=\"{page:.0}\">\n",
        width - MARGIN,
    );
    let offset = |row: usize| {
        format!(
            "0,-{:.0}",
            f64::from(u16::try_from(row).unwrap_or(u16::MAX)) * LINE_HEIGHT
        )
    };
    let last = scrolls.last().map_or(0, |(_, row)| *row);
    writeln!(svg, "<g transform=\"translate({})\">", offset(last)).unwrap();
    let times = scrolls.iter().map(|(seconds, _)| fraction(*seconds, total));
    let offsets = scrolls.iter().map(|(_, row)| offset(*row));
    writeln!(
        svg,
        "<animateTransform attributeName=\"transform\" type=\"translate\" calcMode=\"discrete\" \
         repeatCount=\"indefinite\" dur=\"{total:.1}s\" values=\"{}\" keyTimes=\"{}\"/>",
        offsets.collect::<Vec<_>>().join(";"),
        times.collect::<Vec<_>>().join(";"),
    )
    .unwrap();
    for row in &rows {
        row.draw(&mut svg, 0.0, "", total);
    }
    svg.push_str("</g>\n</svg>\n");
    for mut marker in markers(&events) {
        marker.row = visible_rows;
        marker.draw(&mut svg, 2.0 * MARGIN, "m", total);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The rows of the page, and which row is the first to be seen from when on.
fn play(recording: &Recording, events: &[Event]) -> (Vec<Seen>, Vec<(f64, usize)>) {
    let mut screen = screen(recording.columns);
    let mut seen: Vec<Seen> = Vec::new();
    // The last state of each row, as an index of `seen`.
    let mut current: Vec<Option<usize>> = Vec::new();
    let mut scrolls = vec![(0.0, 0)];
    for (index, event) in events.iter().enumerate() {
        if event.kind == Kind::Output {
            screen.process(event.text.as_bytes());
        }
        let is_last = |next: &Event| next.seconds - event.seconds > TOGETHER_SECONDS;
        if !events.get(index + 1).is_none_or(is_last) {
            continue;
        }
        let cursor = usize::from(screen.screen().cursor_position().0);
        current.resize(current.len().max(cursor + 1), None);
        for (row, last) in current.iter_mut().enumerate() {
            let markup = markup(screen.screen(), row);
            let known = last.map_or("", |index| seen[index].markup.as_str());
            if markup == known {
                continue;
            }
            if let Some(index) = last.take() {
                seen[index].until = Some(event.seconds);
            }
            if !markup.is_empty() {
                *last = Some(seen.len());
                seen.push(Seen {
                    row,
                    markup,
                    from: event.seconds,
                    until: None,
                });
            }
        }
        let first = (cursor + 1).saturating_sub(recording.rows.get().into());
        if scrolls.last().is_some_and(|(_, row)| first > *row) {
            scrolls.push((event.seconds, first));
        }
    }
    (seen, scrolls)
}

/// What happens beside the terminal, until the next such thing.
fn markers(events: &[Event]) -> Vec<Seen> {
    let markers: Vec<&Event> = events.iter().filter(|event| event.kind == Kind::Marker).collect();
    let seen = markers.iter().enumerate().map(|(index, event)| {
        let next = markers.get(index + 1).map_or(f64::INFINITY, |next| next.seconds);
        Seen {
            row: 0,
            markup: escape(&event.text),
            from: event.seconds,
            until: Some(next.min(event.seconds + MARKER_SECONDS)),
        }
    });
    seen.collect()
}

impl Seen {
    fn draw(&self, svg: &mut String, margin: f64, class: &str, total: f64) {
        let y = f64::from(u16::try_from(self.row).unwrap_or(u16::MAX)).mul_add(LINE_HEIGHT, margin + 14.0);
        let x = if margin > 0.0 { MARGIN } else { 0.0 };
        let visibility = if self.until.is_none() { "visible" } else { "hidden" };
        let (mut values, mut times) = (
            String::from("hidden;visible"),
            format!("0;{}", fraction(self.from, total)),
        );
        if let Some(until) = self.until {
            values.push_str(";hidden");
            write!(times, ";{}", fraction(until, total)).unwrap();
        }
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(" class=\"{class}\"")
        };
        writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y:.0}\"{class} visibility=\"{visibility}\">{}<animate attributeName=\"visibility\" \
             calcMode=\"discrete\" repeatCount=\"indefinite\" dur=\"{total:.1}s\" values=\"{values}\" \
             keyTimes=\"{times}\"/></text>",
            self.markup
        )
        .unwrap();
    }
}

/// A row with its styles, without the spaces at its end.
fn markup(screen: &vt100::Screen, row: usize) -> String {
    let Ok(row) = u16::try_from(row) else {
        return String::new();
    };
    let mut runs: Vec<(&str, String)> = Vec::new();
    for column in 0..screen.size().1.get() {
        let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else {
            continue;
        };
        let class = match cell.fgcolor() {
            vt100::Color::Idx(1) => "r",
            _ if cell.bold() => "b",
            _ if cell.dim() => "d",
            _ => "",
        };
        let text = if cell.has_contents() { cell.contents() } else { " " };
        match runs.last_mut() {
            Some((last, run)) if *last == class => run.push_str(text),
            _ => runs.push((class, text.to_owned())),
        }
    }
    if let Some((_, last)) = runs.last_mut() {
        last.truncate(last.trim_end().len());
    }
    let runs = runs.iter().filter(|(_, text)| !text.is_empty()).map(|(class, text)| {
        let text = escape(text);
        if class.is_empty() {
            text
        } else {
            format!("<tspan class=\"{class}\">{text}</tspan>")
        }
    });
    runs.collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A time as a part of the whole.
fn fraction(seconds: f64, total: f64) -> String {
    format!("{:.5}", (seconds / total).min(1.0))
}

#[test]
fn a_text_that_grows_is_seen_in_its_states_and_the_page_scrolls() {
    use std::{num::NonZeroU16, time::Duration};

    let mut recording = Recording::new(NonZeroU16::new(10).unwrap(), NonZeroU16::new(2).unwrap());
    recording.add_output(Duration::from_secs(1), "a\u{1b}[1m<\u{1b}[0m".to_owned());
    recording.add_marker(Duration::from_millis(1500), "kill");
    recording.add_output(Duration::from_secs(2), "b\r\nc\r\nd".to_owned());
    let events = recording.without_pauses();
    let (rows, scrolls) = play(&recording, &events);
    let rows: Vec<_> = rows
        .iter()
        .map(|seen| (seen.row, seen.markup.as_str(), seen.from, seen.until))
        .collect();
    assert_eq!(
        rows,
        [
            (0, "a<tspan class=\"b\">&lt;</tspan>", 1.0, Some(2.0)),
            (0, "a<tspan class=\"b\">&lt;</tspan>b", 2.0, None),
            (1, "c", 2.0, None),
            (2, "d", 2.0, None),
        ]
    );
    assert_eq!(scrolls, [(0.0, 0), (2.0, 1)]);
    let svg = draw(&recording);
    assert!(
        svg.contains("values=\"0,-0;0,-19\" keyTimes=\"0.00000;0.25000\""),
        "{svg}"
    );
}

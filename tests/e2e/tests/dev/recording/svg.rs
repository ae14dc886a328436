//! A picture of a recording: every line appears when it was written. Where
//! nothing moves, all lines are there.

use std::fmt::Write as _;

use super::cast::{Cast, Kind};

const CHARACTER: f64 = 7.3;
const LINE: usize = 17;
const MARGIN: usize = 14;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Plain,
    Dim,
    Bold,
    Red,
    Marker,
}

impl Style {
    const fn class(self) -> &'static str {
        match self {
            Self::Plain => "p",
            Self::Dim => "d",
            Self::Bold => "b",
            Self::Red => "r",
            Self::Marker => "m",
        }
    }
}

/// One line of the screen, and when it got its text.
#[derive(Clone, Debug, Default)]
struct Row {
    cells: Vec<(char, Style)>,
    time: f64,
}

/// As much of a terminal as `steadfast` uses: line feed, carriage return, "clear the line" and colours.
#[derive(Debug, Default)]
struct Screen {
    columns: usize,
    rows: Vec<Row>,
    column: usize,
    style: Style,
}

impl Screen {
    fn write(&mut self, text: &str, time: f64) {
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\n' => {
                    self.rows.push(Row::default());
                    self.column = 0;
                }
                '\r' => self.column = 0,
                '\u{8}' => self.column = self.column.saturating_sub(1),
                '\u{1b}' => {
                    let sequence: String = (&mut characters)
                        .skip_while(|&next| next == '[')
                        .take_while_inclusive_end()
                        .collect();
                    self.control(&sequence, time);
                }
                control if control.is_control() => {}
                shown => self.put(shown, time),
            }
        }
    }

    fn control(&mut self, sequence: &str, time: f64) {
        match sequence {
            "2K" => {
                let row = self.row();
                row.cells.clear();
                row.time = time;
            }
            "0m" | "m" => self.style = Style::Plain,
            "1m" => self.style = Style::Bold,
            "2m" => self.style = Style::Dim,
            "31m" => self.style = Style::Red,
            _ => {}
        }
    }

    fn put(&mut self, character: char, time: f64) {
        if self.column >= self.columns {
            self.rows.push(Row::default());
            self.column = 0;
        }
        let (column, style) = (self.column, self.style);
        let row = self.row();
        if row.cells.len() <= column {
            row.cells.resize(column + 1, (' ', Style::Plain));
        }
        row.cells[column] = (character, style);
        row.time = time;
        self.column += 1;
    }

    fn row(&mut self) -> &mut Row {
        if self.rows.is_empty() {
            self.rows.push(Row::default());
        }
        self.rows.last_mut().unwrap()
    }

    /// A line between the lines of the program.
    fn mark(&mut self, text: &str, time: f64) {
        let unfinished = self.rows.pop();
        let cells = format!("# {text}")
            .chars()
            .map(|shown| (shown, Style::Marker))
            .collect();
        self.rows.push(Row { cells, time });
        self.rows.extend(unfinished);
    }
}

/// Takes characters up to the letter that ends a control sequence, with it.
trait TakeSequence: Iterator<Item = char> {
    fn take_while_inclusive_end(self) -> Sequence<Self>
    where
        Self: Sized,
    {
        Sequence {
            characters: self,
            ended: false,
        }
    }
}

impl<T: Iterator<Item = char>> TakeSequence for T {}

struct Sequence<T> {
    characters: T,
    ended: bool,
}

impl<T: Iterator<Item = char>> Iterator for Sequence<T> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        if self.ended {
            return None;
        }
        let next = self.characters.next()?;
        self.ended = next.is_ascii_alphabetic();
        Some(next)
    }
}

pub(super) fn render(cast: &Cast) -> String {
    let mut screen = Screen {
        columns: cast.columns,
        ..Screen::default()
    };
    for (time, event) in cast.played() {
        match event.kind {
            Kind::Output => screen.write(&event.text, time),
            Kind::Marker => screen.mark(&event.text, time),
        }
    }
    while screen.rows.last().is_some_and(|row| row.cells.is_empty()) {
        screen.rows.pop();
    }
    let height = screen.rows.len() * LINE + 2 * MARGIN;
    #[expect(clippy::cast_precision_loss, reason = "few columns")]
    let width = cast.columns as f64 * CHARACTER + 2.0 * MARGIN as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" viewBox=\"0 0 {width:.0} \
         {height}\">\n<title>A session of steadfast dev</title>\n<style>\n{STYLE}</style>\n<rect class=\"f\" width=\"100%\" \
         height=\"100%\" rx=\"8\"/>\n"
    );
    for (index, row) in screen.rows.iter().enumerate() {
        if row.cells.iter().all(|(character, _)| *character == ' ') {
            continue;
        }
        let y = MARGIN + (index + 1) * LINE - 4;
        let _ = write!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{y}\" style=\"animation-duration:{:.2}s\">",
            row.time
        );
        for run in row.cells.chunk_by(|left, right| left.1 == right.1) {
            let text: String = run.iter().map(|(character, _)| *character).collect();
            let _ = write!(svg, "<tspan class=\"{}\">{}</tspan>", run[0].1.class(), escape(&text));
        }
        svg.push_str("</text>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

const STYLE: &str = "text{font:12px/17px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre;\
animation:hide 0s steps(1)}\n.f{fill:#161b22}.p{fill:#e6edf3}.d{fill:#8b949e}.b{fill:#fff;font-weight:bold}\
.r{fill:#ff7b72}.m{fill:#d2a8ff;font-style:italic}\n@keyframes hide{from,to{opacity:0}}\n\
@media(prefers-reduced-motion:reduce){text{animation:none}}\n";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_line_is_written_anew_and_a_mark_stands_above_it() {
        let mut screen = Screen {
            columns: 4,
            ..Screen::default()
        };
        screen.write("> \r\u{1b}[2K\u{1b}[2mab\u{1b}[0mcde\r\n> ", 1.0);
        screen.mark("x", 2.0);
        let rows: Vec<String> = screen
            .rows
            .iter()
            .map(|row| row.cells.iter().map(|(character, _)| *character).collect())
            .collect();
        assert_eq!(rows, ["abcd", "e", "# x", "> "]);
        assert_eq!(screen.rows[0].cells[0].1, Style::Dim);
        assert_eq!(screen.rows[0].cells[2].1, Style::Plain);
    }
}

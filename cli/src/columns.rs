//! Tables for a terminal, in the style of kubectl. Pure.

use comfy_table::{Table, presets};
use jiff::Timestamp;

use crate::printable::printable;

/// How much a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Narrow,
    /// More columns, and nothing is cut.
    Wide,
}

/// Spaces between two columns.
const GAP: u16 = 2;

/// A header and rows, in aligned columns.
pub(crate) fn render<Header, Row>(header: Header, rows: impl IntoIterator<Item = Row>) -> String
where
    Header: Into<comfy_table::Row>,
    Row: Into<comfy_table::Row>,
{
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    format!("{}\n", table.trim_fmt())
}

/// The time between two timestamps, in its largest unit.
pub(crate) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = (to.as_second() - from.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text that fits into a cell.
pub(crate) fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

//! Makes text from models, tools and servers safe to print.

/// Replaces every control character except line feed and tab, so that the text cannot control the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            control if control.is_control() => '\u{fffd}',
            other => other,
        })
        .collect()
}

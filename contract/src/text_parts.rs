//! Texts that are too large for one payload, cut into numbered parts that stand in history one by one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Length of a part. Written as JSON and compressed, it fits into a payload whatever it contains.
pub const PART_BYTES: usize = 600 * 1024;

/// Cuts a text into parts of at most [`PART_BYTES`].
pub fn cut(mut text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let (part, rest) = text.split_at(text.floor_char_boundary(PART_BYTES));
        parts.push(part.to_owned());
        text = rest;
    }
    parts
}

/// The parts of a text that have arrived, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextParts(BTreeMap<u32, String>);

impl TextParts {
    /// Takes in a part; numbers count from 0.
    pub fn add(&mut self, number: u32, text: String) {
        self.0.insert(number, text);
    }

    /// The text; `None` while a part is missing.
    pub fn join(&self, count: u32) -> Option<String> {
        let parts: Option<Vec<&str>> = (0..count)
            .map(|number| self.0.get(&number).map(String::as_str))
            .collect();
        Some(parts?.concat())
    }
}

/// The [parts](crate::signals::AnswerPart) of a model's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemParts {
    /// The attempt that sent them.
    pub attempt: u32,
    /// How many there are.
    pub count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_put_together_from_its_parts() {
        for length in [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES] {
            // The letter has two bytes, so that a cut would often fall into one.
            let text = "é".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
            let cut = cut(&text);
            assert!(cut.iter().all(|part| part.len() <= PART_BYTES));
            let mut parts = TextParts::default();
            let count = u32::try_from(cut.len()).unwrap();
            for (number, part) in (0..).zip(cut).collect::<Vec<_>>().into_iter().rev() {
                assert_eq!(parts.join(count), None);
                parts.add(number, part);
            }
            assert_eq!(parts.join(count), Some(text));
        }
    }
}

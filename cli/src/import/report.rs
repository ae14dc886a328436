//! What became of every field, for the person who imports. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use super::source::{Field, Outcome, Source};
use crate::printable::printable;

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    /// What was assumed, or must be done by hand.
    pub(super) notes: Vec<String>,
}

impl Document {
    pub(super) fn new(place: (&str, u32), kind: &str, name: &str, source: Source, notes: Vec<String>) -> Self {
        Self {
            file: place.0.to_owned(),
            line: place.1,
            kind: kind.to_owned(),
            name: name.to_owned(),
            fields: source.fields(),
            notes,
        }
    }

    fn lost(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().filter_map(|field| match &field.outcome {
            Outcome::NotCarriedOver(why) => Some((field.field.as_str(), why.as_str())),
            Outcome::MappedTo(_) => None,
        })
    }
}

/// The report as text: what is not carried over, and what to check.
pub(super) fn text(documents: &[Document]) -> String {
    let mut text = String::new();
    let (mut carried, mut lost) = (0, 0);
    for document in documents {
        let Document {
            file, line, kind, name, ..
        } = document;
        let lost_here = document.lost().count();
        lost += lost_here;
        carried += document.fields.len() - lost_here;
        if lost_here == 0 && document.notes.is_empty() {
            continue;
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "{file}:{line}: {kind} {name}");
        for (field, why) in document.lost() {
            let _ = writeln!(text, "  not carried over: {field}: {why}");
        }
        for note in &document.notes {
            let _ = writeln!(text, "  check: {note}");
        }
    }
    let _ = writeln!(text, "{carried} fields carried over, {lost} not");
    printable(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_names_what_is_lost_and_what_to_check() {
        let mut source = Source::new(json!({"name": "a", "memory": {"days": 15}}));
        source.take_text("/name", "metadata.name");
        source.leave("/memory", "there is no long-term memory");
        let note = "the model is assumed".to_owned();
        let document = Document::new(("a.yaml", 3), "Agent", "a", source, vec![note]);
        assert_eq!(
            text(&[document]),
            "a.yaml:3: Agent a\n  not carried over: memory: there is no long-term memory\n  check: the model is \
             assumed\n1 fields carried over, 1 not\n"
        );
    }
}

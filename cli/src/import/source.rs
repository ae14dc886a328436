//! A document of another project that remembers what was read of it. What nobody
//! read is reported, so nothing is lost without a word. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

pub(super) const UNKNOWN: &str = "Steadfast has no such setting";

/// What became of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    /// It is in the new manifest, here.
    MappedTo(String),
    /// It is not in the new manifest, for this reason.
    NotCarriedOver(String),
}

/// A field and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    /// For example `spec.tools[0].type`.
    pub(super) field: String,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// A document with the outcomes so far, by JSON Pointer. An outcome holds for everything below its field.
#[derive(Clone, Debug)]
pub(super) struct Source {
    value: Value,
    outcomes: BTreeMap<String, Outcome>,
}

impl Source {
    pub(super) fn new(value: Value) -> Self {
        Self {
            value,
            outcomes: BTreeMap::new(),
        }
    }

    /// The value, without an outcome. Null is the same as absent.
    pub(super) fn peek(&self, pointer: &str) -> Option<&Value> {
        self.value.pointer(pointer).filter(|value| !value.is_null())
    }

    /// The value, which `target` of the new manifest takes.
    pub(super) fn take(&mut self, pointer: &str, target: &str) -> Option<Value> {
        let value = self.peek(pointer)?.clone();
        self.record(pointer, Outcome::MappedTo(target.to_owned()));
        Some(value)
    }

    /// The text, which `target` takes. A number or a boolean is a text too. Another value stays unread.
    pub(super) fn take_text(&mut self, pointer: &str, target: &str) -> Option<String> {
        let text = text(self.peek(pointer)?)?;
        self.record(pointer, Outcome::MappedTo(target.to_owned()));
        Some(text)
    }

    /// The value as a number or another type that its text parses as. A value that does not parse is not carried over.
    pub(super) fn take_parsed<T: std::str::FromStr>(&mut self, pointer: &str, target: &str) -> Option<T> {
        let parsed = text(self.peek(pointer)?).and_then(|text| text.parse().ok());
        if parsed.is_some() {
            self.record(pointer, Outcome::MappedTo(target.to_owned()));
        } else {
            self.leave(pointer, "the value cannot be read");
        }
        parsed
    }

    /// The number of entries of a list.
    pub(super) fn length(&self, pointer: &str) -> usize {
        self.peek(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Says why a field, if it is there, is not in the new manifest.
    pub(super) fn leave(&mut self, pointer: &str, why: &str) {
        if self.peek(pointer).is_some() {
            self.record(pointer, Outcome::NotCarriedOver(why.to_owned()));
        }
    }

    /// Every field with its outcome. A field that nobody read is not carried over.
    pub(super) fn fields(mut self) -> Vec<Field> {
        let mut unread = Vec::new();
        collect_unread(&self.value, &mut String::new(), &self.outcomes, &mut unread);
        for pointer in unread {
            self.record(&pointer, Outcome::NotCarriedOver(UNKNOWN.to_owned()));
        }
        let fields = self.outcomes.into_iter().map(|(pointer, outcome)| Field {
            field: dotted(&pointer),
            outcome,
        });
        fields.collect()
    }

    fn record(&mut self, pointer: &str, outcome: Outcome) {
        self.outcomes.insert(pointer.to_owned(), outcome);
    }
}

/// The text of a scalar.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Collects the pointers of scalars without an outcome. Empty lists and objects hold nothing to carry over.
fn collect_unread(value: &Value, pointer: &mut String, outcomes: &BTreeMap<String, Outcome>, unread: &mut Vec<String>) {
    if outcomes.contains_key(pointer) {
        return;
    }
    let length = pointer.len();
    let mut below = |name: &str, value: &Value| {
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        collect_unread(value, pointer, outcomes, unread);
        pointer.truncate(length);
    };
    match value {
        Value::Null => {}
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                below(&index.to_string(), item);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                below(name, member);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => unread.push(pointer.clone()),
    }
}

/// A JSON Pointer as people write a field.
fn dotted(pointer: &str) -> String {
    let mut text = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push('[');
            text.push_str(part);
            text.push(']');
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_reads_is_reported() {
        let mut source = Source::new(json!({
            "name": "a", "tools": [{"kind": "x", "extra": 1}], "empty": [], "none": null, "no": true, "size": "big",
        }));
        assert_eq!(source.take_text("/name", "metadata.name").as_deref(), Some("a"));
        assert_eq!(source.take("/tools/0/kind", "spec.tools"), Some(json!("x")));
        assert_eq!(source.take_parsed::<u32>("/size", "spec.size"), None);
        source.leave("/no", "not needed");
        source.leave("/absent", "not needed");
        let fields: Vec<String> = source
            .fields()
            .into_iter()
            .map(|field| format!("{}: {:?}", field.field, field.outcome))
            .collect();
        assert_eq!(
            fields,
            [
                r#"name: MappedTo("metadata.name")"#,
                r#"no: NotCarriedOver("not needed")"#,
                r#"size: NotCarriedOver("the value cannot be read")"#,
                r#"tools[0].extra: NotCarriedOver("Steadfast has no such setting")"#,
                r#"tools[0].kind: MappedTo("spec.tools")"#,
            ]
        );
    }
}

//! Replaces the references within a schema by what they refer to.

use serde_json::{Map, Value, json};

/// Deepest expansion of references within references.
const MAXIMUM_REFERENCES: usize = 24;
/// Most parts of the schema, all references replaced.
const MAXIMUM_PARTS: usize = 4_096;

/// The schema without references and without definitions. What refers to itself becomes any value.
pub(super) fn inline(schema: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let root = Value::Object(schema.clone());
    let mut expansion = Expansion {
        root: &root,
        open: Vec::new(),
        parts_left: MAXIMUM_PARTS,
    };
    match expansion.value(&root)? {
        Value::Object(schema) => Ok(schema),
        _ => Err("its parameter schema is no object".to_owned()),
    }
}

struct Expansion<'a> {
    root: &'a Value,
    open: Vec<String>,
    parts_left: usize,
}

impl Expansion<'_> {
    fn value(&mut self, value: &Value) -> Result<Value, String> {
        self.parts_left = self
            .parts_left
            .checked_sub(1)
            .ok_or("its parameter schema is too large when its references are replaced by what they refer to")?;
        match value {
            Value::Object(schema) => self.schema(schema),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            other => Ok(other.clone()),
        }
    }

    fn schema(&mut self, schema: &Map<String, Value>) -> Result<Value, String> {
        let reference = schema.get("$ref").or_else(|| schema.get("$dynamicRef"));
        let mut expanded = Map::new();
        if let Some(Value::String(reference)) = reference {
            match self.target(reference)? {
                Some(Value::Object(target)) => expanded = target,
                Some(other) => return Ok(other),
                None => {
                    expanded.insert("description".to_owned(), json!("Refers to a part that contains it."));
                }
            }
        }
        for (key, value) in schema {
            match key.as_str() {
                "$ref" if value.is_string() => {}
                "$dynamicRef" | "$defs" | "definitions" => {}
                // Values, which may look like schemas.
                "default" | "const" | "enum" | "examples" => {
                    expanded.insert(key.clone(), value.clone());
                }
                _ => {
                    expanded.insert(key.clone(), self.value(value)?);
                }
            }
        }
        Ok(Value::Object(expanded))
    }

    /// What a reference refers to; `None` for a part that is being expanded.
    fn target(&mut self, reference: &str) -> Result<Option<Value>, String> {
        if self.open.iter().any(|open| open == reference) || self.open.len() >= MAXIMUM_REFERENCES {
            return Ok(None);
        }
        let pointer = reference.strip_prefix('#');
        let target = pointer.and_then(|pointer| {
            let decoded = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
            self.root.pointer(&decoded)
        });
        let Some(target) = target else {
            return Err(format!(
                "its parameter schema refers to {reference:?}, which it does not contain"
            ));
        };
        if pointer == Some("") {
            return Ok(None);
        }
        self.open.push(reference.to_owned());
        let expanded = self.value(target);
        self.open.pop();
        expanded.map(Some)
    }
}

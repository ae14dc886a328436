//! Writes YAML.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};
use serde_json::{Number, Value};

/// Why a value cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
pub enum WriteYamlError {
    /// It is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The writer of YAML refuses it.
    #[error(transparent)]
    Yaml(#[from] serde_yaml_ng::Error),
}

/// A value as YAML.
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, WriteYamlError> {
    let json = serde_json::to_value(value)?;
    Ok(serde_yaml_ng::to_string(&PlainNumbers(&json))?)
}

/// JSON for another serializer than serde_json's. A number in a [`Value`] is a text that only serde_json knows for a
/// number; here it is an integer or a float.
#[derive(Clone, Copy, Debug)]
pub struct PlainNumbers<'a>(pub &'a Value);

impl Serialize for PlainNumbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => serialize_number(number, serializer),
            Value::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(&PlainNumbers(item))?;
                }
                sequence.end()
            }
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, member) in members {
                    map.serialize_entry(name, &PlainNumbers(member))?;
                }
                map.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

fn serialize_number<S: Serializer>(number: &Number, serializer: S) -> Result<S::Ok, S::Error> {
    if let Some(integer) = number.as_i64() {
        return serializer.serialize_i64(integer);
    }
    if let Some(integer) = number.as_u64() {
        return serializer.serialize_u64(integer);
    }
    if let Some(integer) = number.as_i128() {
        return serializer.serialize_i128(integer);
    }
    match number.as_f64() {
        Some(float) => serializer.serialize_f64(float),
        None => serializer.serialize_str(number.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_numbers_and_members_keep_their_order() {
        let value = json!({ "b": 1, "a": [2.0, -3, "4", true, null], "text": "on: \"ä\"\nend" });
        let yaml = "b: 1\na:\n- 2.0\n- -3\n- '4'\n- true\n- null\ntext: |-\n  on: \"ä\"\n  end\n";
        assert_eq!(to_yaml(&value).unwrap(), yaml);
    }
}

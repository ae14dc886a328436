//! An amount of a compute resource, as Kubernetes accepts it: text such as `250m`
//! and `64Mi`, or any whole number.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// An amount of CPU, memory or another resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Quantity {
    /// A whole number, for example of bytes.
    Number(i64),
    /// A number with a suffix; the schema allows no other text.
    Text(String),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity such as 250m, 64Mi or 8589934592")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
        Ok(Quantity::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
        i64::try_from(number)
            .map(Quantity::Number)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        Ok(Quantity::Text(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_quantity_that_the_schema_allows_is_read_and_written_unchanged() {
        for value in [
            json!(0),
            json!(2),
            json!(8_589_934_592_i64),
            json!(i64::MAX),
            json!(i64::MIN),
            json!("250m"),
            json!("64Mi"),
            json!("1e3"),
        ] {
            let quantity: Quantity = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(serde_json::to_value(&quantity).unwrap(), value);
            let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            assert_eq!(quantity.to_string(), text);
        }
    }

    #[test]
    fn other_values_are_refused_with_an_example() {
        for value in [json!(0.5), json!(u64::MAX), json!(true), Value::Null, json!(["1"])] {
            let error = serde_json::from_value::<Quantity>(value).unwrap_err().to_string();
            assert!(
                error.ends_with("expected a quantity such as 250m, 64Mi or 8589934592"),
                "{error}"
            );
        }
    }
}

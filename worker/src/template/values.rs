//! JSON as values of templates and back. A number that a template only passes on keeps
//! the digits in which it was written: the engine calculates with 128-bit integers and
//! 64-bit floats, so the digits of a fraction are remembered beside its value. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use minijinja::{
    Error, ErrorKind, Value as TemplateValue,
    value::{Enumerator, Object, ObjectRepr, ValueKind},
};
use serde::Serialize;
use serde_json::{Map, Number, Value};
use steadfast_bounds::template::MAXIMUM_TEXT_BYTES;
use steadfast_payload::json_size;

use super::decimal;

/// Deepest value that a template may make.
const MAXIMUM_DEPTH: usize = 128;

/// The variables of a template.
pub(crate) struct Scope {
    variables: Map<String, Value>,
    /// Variables that are no JSON.
    extra: BTreeMap<String, TemplateValue>,
    digits: Digits,
}

impl Scope {
    pub(crate) fn new(variables: Map<String, Value>) -> Self {
        Self {
            variables,
            extra: BTreeMap::new(),
            digits: Digits::default(),
        }
    }

    /// The variables that a value has as JSON.
    pub(crate) fn of(context: impl Serialize) -> Result<Self, Error> {
        match serde_json::to_value(context) {
            Ok(Value::Object(variables)) => Ok(Self::new(variables)),
            _ => Err(invalid("the variables are no JSON object")),
        }
    }

    /// Adds a variable that is no JSON. It hides a JSON variable of that name.
    pub(crate) fn add(&mut self, name: &str, value: TemplateValue) {
        self.extra.insert(name.to_owned(), value);
    }

    /// The value that a template is rendered with, and the digits that its environment needs.
    pub(crate) fn into_value(self) -> (TemplateValue, Digits) {
        let digits = self.digits.clone();
        let node = Node {
            json: Value::Object(self.variables),
            extra: self.extra,
            digits: self.digits,
            parts: Mutex::default(),
        };
        (TemplateValue::from_object(node), digits)
    }
}

/// What one rendering remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digits {
    /// The digits of the fractions that the template has read, by their values.
    read: Arc<Mutex<HashMap<u64, Written>>>,
    /// How much text and JSON its values have been turned into.
    made_bytes: Arc<AtomicUsize>,
}

/// How a fraction was written.
#[derive(Clone, Debug)]
struct Written {
    text: String,
    /// Another fraction with the same 64 bits was read.
    is_ambiguous: bool,
}

impl Digits {
    /// Counts what is about to be made.
    pub(super) fn count(&self, bytes: usize) -> Result<(), Error> {
        let made = self.made_bytes.fetch_add(bytes, Ordering::Relaxed);
        if made.saturating_add(bytes) > MAXIMUM_TEXT_BYTES {
            // Nothing more is made, however small.
            self.made_bytes.store(MAXIMUM_TEXT_BYTES, Ordering::Relaxed);
            let message = format!("the template makes more than {MAXIMUM_TEXT_BYTES} bytes of text");
            return Err(Error::new(ErrorKind::OutOfFuel, message));
        }
        Ok(())
    }

    fn keep(&self, value: f64, text: &str) {
        let mut kept = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let written = kept.entry(value.to_bits()).or_insert_with(|| Written {
            text: text.to_owned(),
            is_ambiguous: false,
        });
        written.is_ambiguous |= !decimal::is_same(&written.text, text);
        if written.text != text {
            text.clone_into(&mut written.text);
        }
    }

    fn number(&self, value: f64) -> Result<Number, Error> {
        let kept = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(&value.to_bits()) {
            Some(written) if written.is_ambiguous => Err(invalid(
                "two numbers of the template differ only in digits that templates cannot tell apart; send them as texts",
            )),
            Some(written) => Ok(Number::from_string_unchecked(written.text.clone())),
            None => Number::from_f64(value).ok_or_else(|| invalid("the result is infinite or no number")),
        }
    }

    /// A JSON value as a value of templates.
    fn value(&self, json: &Value) -> TemplateValue {
        match json {
            Value::Null => TemplateValue::from(()),
            Value::Bool(flag) => TemplateValue::from(*flag),
            Value::Number(number) => self.number_value(number.as_str()),
            Value::String(text) => TemplateValue::from(text.as_str()),
            Value::Array(_) | Value::Object(_) => TemplateValue::from_object(Node {
                json: json.clone(),
                extra: BTreeMap::new(),
                digits: self.clone(),
                parts: Mutex::default(),
            }),
        }
    }

    fn number_value(&self, text: &str) -> TemplateValue {
        if let Ok(integer) = text.parse::<i128>()
            && text != "-0"
        {
            return TemplateValue::from(integer);
        }
        if let Ok(integer) = text.parse::<u128>() {
            return TemplateValue::from(integer);
        }
        // Too large for a float, it is infinite: it can be passed on and not calculated with.
        let float = text.parse::<f64>().unwrap_or(f64::NAN);
        self.keep(float, text);
        TemplateValue::from(float)
    }

    /// A value of a template as JSON.
    pub(crate) fn to_json(&self, value: &TemplateValue) -> Result<Value, Error> {
        self.to_json_within(value, MAXIMUM_DEPTH)
    }

    fn to_json_within(&self, value: &TemplateValue, depth: usize) -> Result<Value, Error> {
        /// No value is shorter as JSON.
        const SHORTEST_BYTES: usize = 4;
        if let Some(node) = value.downcast_object_ref::<Node>() {
            self.count(json_size(&node.json))?;
            return Ok(node.json.clone());
        }
        self.count(value.as_str().map_or(0, str::len) + SHORTEST_BYTES)?;
        let Some(inner) = depth.checked_sub(1) else {
            return Err(invalid("the value is nested too deep"));
        };
        match value.kind() {
            ValueKind::None => Ok(Value::Null),
            ValueKind::Bool => Ok(Value::Bool(value.is_true())),
            ValueKind::Number => self.number_to_json(value).map(Value::Number),
            ValueKind::String => Ok(Value::String(value.as_str().unwrap_or_default().to_owned())),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.map(|item| self.to_json_within(&item, inner));
                items.collect()
            }
            ValueKind::Map => {
                let members = value.try_iter()?.map(|name| {
                    let member = value.get_item(&name)?;
                    let name = match self.to_json_within(&name, inner)? {
                        Value::String(name) => name,
                        other => other.to_string(),
                    };
                    Ok((name, self.to_json_within(&member, inner)?))
                });
                members.collect::<Result<Map<_, _>, Error>>().map(Value::Object)
            }
            ValueKind::Undefined => Err(Error::new(ErrorKind::UndefinedError, "the expression has no value")),
            _ => Err(invalid("the value of the expression is no JSON value")),
        }
    }

    fn number_to_json(&self, value: &TemplateValue) -> Result<Number, Error> {
        if value.is_integer() {
            let integer = i128::try_from(value.clone()).ok().and_then(Number::from_i128);
            let integer = integer.or_else(|| u128::try_from(value.clone()).ok().and_then(Number::from_u128));
            return integer.ok_or_else(|| invalid("the value of the expression is no JSON value"));
        }
        self.number(f64::try_from(value.clone())?)
    }

    /// A value of a template as it is written into a text: a text as it is, and anything else as JSON.
    pub(crate) fn text(&self, value: &TemplateValue) -> Result<String, Error> {
        if let Some(text) = value.as_str() {
            self.count(text.len())?;
            return Ok(text.to_owned());
        }
        Ok(self.to_json(value)?.to_string())
    }
}

/// A list or an object. Its parts become values of templates when they are read.
struct Node {
    json: Value,
    extra: BTreeMap<String, TemplateValue>,
    digits: Digits,
    /// The lists and objects in it that have been read, so that none is copied twice.
    parts: Mutex<HashMap<String, TemplateValue>>,
}

impl Node {
    fn part(&self, name: &str, json: &Value) -> TemplateValue {
        if !matches!(json, Value::Array(_) | Value::Object(_)) {
            return self.digits.value(json);
        }
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.entry(name.to_owned());
        part.or_insert_with(|| self.digits.value(json)).clone()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.json)
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.json.is_array() {
            ObjectRepr::Seq
        } else {
            ObjectRepr::Map
        }
    }

    fn get_value(self: &Arc<Self>, key: &TemplateValue) -> Option<TemplateValue> {
        match &self.json {
            Value::Array(items) => {
                let index = key.as_usize()?;
                Some(self.part(&index.to_string(), items.get(index)?))
            }
            Value::Object(members) => {
                let name = key.as_str()?;
                let given = self.extra.get(name).cloned();
                given.or_else(|| Some(self.part(name, members.get(name)?)))
            }
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.json {
            Value::Array(items) => Enumerator::Seq(items.len()),
            Value::Object(members) => {
                Enumerator::Values(members.keys().map(|name| TemplateValue::from(name.as_str())).collect())
            }
            _ => Enumerator::Empty,
        }
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.json)
    }
}

pub(super) fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(digits: &Digits, json: &str) -> TemplateValue {
        digits.value(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_json_value_comes_back_as_it_was_written() {
        for json in [
            "null",
            "true",
            "0",
            "-0",
            "-1",
            "18446744073709551616",
            "100000000000000000001",
            "340282366920938463463374607431768211455",
            "340282366920938463463374607431768211456000000000000000000000000000001",
            "1.10",
            "1.0",
            "0.1000000000000000055511151231257827",
            "1e+400",
            "1e-400",
            "\"1.10\"",
            "[1.10,[],{\"a\":1.100}]",
            "{\"b\":1.10,\"a\":{\"c\":[null]}}",
        ] {
            let digits = Digits::default();
            let back = digits.to_json(&value(&digits, json)).unwrap();
            assert_eq!(back.to_string(), json);
        }
    }

    #[test]
    fn fractions_that_a_float_cannot_tell_apart_are_refused_and_never_mixed_up() {
        let digits = Digits::default();
        let first = value(&digits, "0.10000000000000000001");
        assert_eq!(digits.to_json(&first).unwrap().to_string(), "0.10000000000000000001");
        let equal = value(&digits, "0.100000000000000000010");
        assert_eq!(digits.to_json(&equal).unwrap().to_string(), "0.100000000000000000010");
        value(&digits, "0.10000000000000000002");
        assert!(digits.to_json(&first).is_err());
    }

    #[test]
    fn a_value_that_is_no_json_is_an_error() {
        let digits = Digits::default();
        for value in [
            TemplateValue::from(f64::NAN),
            TemplateValue::from(f64::INFINITY),
            TemplateValue::from_bytes(vec![1]),
            TemplateValue::UNDEFINED,
        ] {
            assert!(digits.to_json(&value).is_err(), "{value:?}");
        }
        let deep = (0..MAXIMUM_DEPTH).fold(TemplateValue::from(1), |inner, _| TemplateValue::from(vec![inner]));
        assert!(digits.to_json(&deep).is_err());
    }
}

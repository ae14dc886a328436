//! Reduces a schema to the keywords that every model API takes.

use serde_json::{Map, Value, json};

/// Deepest nesting of objects and lists.
const MAXIMUM_LEVELS: usize = 8;
/// Longest remark about what a keyword said.
const MAXIMUM_REMARK_BYTES: usize = 300;

/// The schemas of `allOf`, `anyOf` or `oneOf`.
pub(super) fn parts(value: Option<Value>) -> Vec<Map<String, Value>> {
    let Some(Value::Array(parts)) = value else {
        return Vec::new();
    };
    let parts = parts.into_iter().filter_map(|part| match part {
        Value::Object(part) => Some(part),
        _ => None,
    });
    parts.collect()
}

/// Any value, in the form of a schema.
fn any(level: usize) -> Value {
    let mut kinds = vec![
        json!({"type": "string"}),
        json!({"type": "number"}),
        json!({"type": "boolean"}),
        json!({"type": "object"}),
    ];
    if level < MAXIMUM_LEVELS {
        kinds.push(json!({"type": "array", "items": {"type": "string"}}));
    }
    kinds.push(json!({"type": "null"}));
    json!({ "anyOf": kinds })
}

fn value(schema: Value, level: usize) -> Value {
    match schema {
        Value::Object(schema) => Value::Object(object(schema, level)),
        // `true`, `false` and what is no schema.
        _ => any(level),
    }
}

/// One schema, at a level of nesting.
pub(super) fn object(mut schema: Map<String, Value>, level: usize) -> Map<String, Value> {
    for part in parts(schema.remove("allOf")) {
        for (key, value) in part {
            merge_keyword(&mut schema, key, value);
        }
    }
    let alternatives = match schema.remove("anyOf") {
        Some(alternatives) => parts(Some(alternatives)),
        None => parts(schema.remove("oneOf")),
    };
    if level > 0 && !alternatives.is_empty() {
        return alternatives_of(&schema, alternatives, level);
    }
    let kind = match kind(&schema) {
        Kind::One(kind) => kind,
        Kind::Several(_) | Kind::Unknown if level == 0 => "object".to_owned(),
        Kind::Several(kinds) => return one_of_types(&schema, kinds, level),
        Kind::Unknown => return any_described(&schema, level),
    };
    let mut kept = Map::new();
    let mut remarks = Vec::new();
    match kind.as_str() {
        "object" => keep_properties(&mut kept, &mut schema, level, &mut remarks),
        "array" => keep_items(&mut kept, &mut schema, level),
        "string" => keep_text(&mut kept, &schema, &mut remarks),
        "integer" | "number" => keep_number(&mut kept, &schema, &mut remarks),
        _ => {}
    }
    kept.insert("type".to_owned(), Value::String(kind));
    for key in ["title", "default"] {
        if let Some(value) = schema.get(key).filter(|value| !value.is_null()) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    if !kept.get("title").is_none_or(Value::is_string) {
        kept.remove("title");
    }
    if let Some(description) = description(&schema, remarks) {
        kept.insert("description".to_owned(), Value::String(description));
    }
    kept
}

fn one_of_types(schema: &Map<String, Value>, kinds: Vec<String>, level: usize) -> Map<String, Value> {
    let branches = kinds.into_iter().map(|kind| {
        let mut branch = schema.clone();
        branch.insert("type".to_owned(), Value::String(kind));
        branch
    });
    alternatives_of(&Map::new(), branches.collect(), level)
}

fn any_described(schema: &Map<String, Value>, level: usize) -> Map<String, Value> {
    let Value::Object(mut any) = any(level) else {
        return Map::new();
    };
    if let Some(description) = description(schema, Vec::new()) {
        describe_first(&mut any, &description);
    }
    any
}

fn merge_keyword(schema: &mut Map<String, Value>, key: String, value: Value) {
    match (schema.get_mut(&key), value) {
        (Some(Value::Object(own)), Value::Object(more)) if key == "properties" => own.extend(more),
        (Some(Value::Array(own)), Value::Array(more)) if key == "required" => own.extend(more),
        (Some(_), _) => {}
        (None, value) => {
            schema.insert(key, value);
        }
    }
}

/// Alternatives stand alone: Gemini takes nothing beside them.
fn alternatives_of(
    schema: &Map<String, Value>,
    alternatives: Vec<Map<String, Value>>,
    level: usize,
) -> Map<String, Value> {
    let own = description(schema, Vec::new());
    let mut branches: Vec<Value> = Vec::new();
    for alternative in alternatives {
        let mut branch = schema.clone();
        for key in ["description", "title", "default"] {
            branch.remove(key);
        }
        branch.extend(alternative);
        let branch = object(branch, level);
        match branch.get("anyOf") {
            Some(Value::Array(inner)) => branches.extend(inner.iter().cloned()),
            _ => branches.push(Value::Object(branch)),
        }
    }
    branches.dedup();
    let mut made = match branches.as_slice() {
        [Value::Object(only)] => return described(only.clone(), own),
        _ => Map::from_iter([("anyOf".to_owned(), Value::Array(branches))]),
    };
    if let Some(own) = own {
        describe_first(&mut made, &own);
    }
    made
}

fn described(mut schema: Map<String, Value>, own: Option<String>) -> Map<String, Value> {
    if let Some(own) = own {
        prepend_description(&mut schema, &own);
    }
    schema
}

fn describe_first(schema: &mut Map<String, Value>, text: &str) {
    let first = schema.get_mut("anyOf").and_then(|branches| branches.get_mut(0));
    if let Some(Value::Object(first)) = first {
        prepend_description(first, text);
    }
}

fn prepend_description(schema: &mut Map<String, Value>, text: &str) {
    let description = match schema.get("description").and_then(Value::as_str) {
        Some(own) if own != text => format!("{text} {own}"),
        _ => text.to_owned(),
    };
    schema.insert("description".to_owned(), Value::String(description));
}

fn description(schema: &Map<String, Value>, remarks: Vec<String>) -> Option<String> {
    let mut texts: Vec<String> = Vec::new();
    if let Some(own) = schema.get("description").and_then(Value::as_str) {
        texts.push(own.to_owned());
    }
    texts.extend(remarks);
    (!texts.is_empty()).then(|| texts.join(" "))
}

enum Kind {
    One(String),
    Several(Vec<String>),
    Unknown,
}

/// The type of the values, told or guessed.
fn kind(schema: &Map<String, Value>) -> Kind {
    let name = |kind: &str| {
        let known = match kind.to_ascii_lowercase().as_str() {
            "object" | "dict" | "map" => "object",
            "array" | "list" => "array",
            "string" | "str" | "text" => "string",
            "integer" | "int" | "long" => "integer",
            "number" | "float" | "double" => "number",
            "boolean" | "bool" => "boolean",
            "null" | "none" => "null",
            _ => return None,
        };
        Some(known.to_owned())
    };
    match schema.get("type") {
        Some(Value::String(kind)) => return name(kind).map_or(Kind::Unknown, Kind::One),
        Some(Value::Array(kinds)) => {
            let mut kinds: Vec<String> = kinds.iter().filter_map(Value::as_str).filter_map(name).collect();
            kinds.dedup();
            return match kinds.as_slice() {
                [] => Kind::Unknown,
                [only] => Kind::One(only.clone()),
                _ => Kind::Several(kinds),
            };
        }
        _ => {}
    }
    let of_value = |value: &Value| match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    };
    let has = |keys: &[&str]| keys.iter().any(|key| schema.contains_key(*key));
    let guess = if let Some(value) = schema.get("const") {
        of_value(value)
    } else if let Some(value) = schema.get("enum").and_then(|values| values.get(0)) {
        of_value(value)
    } else if has(&["properties", "required", "additionalProperties"]) {
        "object"
    } else if has(&["items", "prefixItems", "minItems", "maxItems"]) {
        "array"
    } else if has(&["pattern", "minLength", "maxLength", "format"]) {
        "string"
    } else if has(&[
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
    ]) {
        "number"
    } else {
        return Kind::Unknown;
    };
    Kind::One(guess.to_owned())
}

fn keep_properties(
    kept: &mut Map<String, Value>,
    schema: &mut Map<String, Value>,
    level: usize,
    remarks: &mut Vec<String>,
) {
    // PHP writes an empty object as a list.
    let properties = match schema.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    if level >= MAXIMUM_LEVELS && !properties.is_empty() {
        let names: Vec<&String> = properties.keys().collect();
        remarks.push(remark("An object with the members", &json!(names)));
        return;
    }
    let names = schema
        .get("required")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut required: Vec<Value> = Vec::new();
    for name in names {
        let is_known = name.as_str().is_some_and(|name| properties.contains_key(name));
        if is_known && !required.contains(&name) {
            required.push(name);
        }
    }
    match schema.get("additionalProperties") {
        Some(more @ Value::Object(fields)) if !fields.is_empty() => {
            remarks.push(remark("Any other members, each with a value of", more));
        }
        _ => {}
    }
    let properties = properties
        .into_iter()
        .map(|(name, property)| (name, value(property, level + 1)));
    let properties: Map<String, Value> = properties.collect();
    // An object within the parameters may be free; the parameters themselves are listed.
    if level == 0 || !properties.is_empty() {
        kept.insert("properties".to_owned(), Value::Object(properties));
    }
    if !required.is_empty() {
        kept.insert("required".to_owned(), Value::Array(required));
    }
}

fn keep_items(kept: &mut Map<String, Value>, schema: &mut Map<String, Value>, level: usize) {
    let tuple = match (schema.remove("prefixItems"), schema.remove("items")) {
        (Some(Value::Array(tuple)), _) | (None, Some(Value::Array(tuple))) => tuple,
        (_, Some(items)) => vec![items],
        _ => Vec::new(),
    };
    let deep = level >= MAXIMUM_LEVELS;
    let mut items: Vec<Value> = Vec::new();
    for item in tuple.into_iter().filter(|_| !deep) {
        let item = value(item, level + 1);
        if !items.contains(&item) {
            items.push(item);
        }
    }
    let items = match items.len() {
        0 => any(MAXIMUM_LEVELS),
        1 => items.remove(0),
        _ => value(json!({ "anyOf": items }), level + 1),
    };
    kept.insert("items".to_owned(), items);
    for key in ["minItems", "maxItems"] {
        if let Some(number) = schema.get(key).filter(|number| number.is_u64()) {
            kept.insert(key.to_owned(), number.clone());
        }
    }
}

fn keep_text(kept: &mut Map<String, Value>, schema: &Map<String, Value>, remarks: &mut Vec<String>) {
    for key in ["minLength", "maxLength"] {
        if let Some(number) = schema.get(key).filter(|number| number.is_u64()) {
            kept.insert(key.to_owned(), number.clone());
        }
    }
    if let Some(pattern) = schema.get("pattern").filter(|pattern| pattern.is_string()) {
        kept.insert("pattern".to_owned(), pattern.clone());
    }
    match schema.get("format").and_then(Value::as_str) {
        // The only one that Gemini takes.
        Some("date-time") => {
            kept.insert("format".to_owned(), json!("date-time"));
        }
        Some(format) => remarks.push(format!("Format: {format}.")),
        None => {}
    }
    keep_values(kept, schema, remarks, |value| {
        value.as_str().is_some_and(|text| !text.is_empty())
    });
}

fn keep_number(kept: &mut Map<String, Value>, schema: &Map<String, Value>, remarks: &mut Vec<String>) {
    for key in ["minimum", "maximum"] {
        if let Some(number) = schema.get(key).filter(|number| number.is_number()) {
            kept.insert(key.to_owned(), number.clone());
        }
    }
    for (key, words) in [
        ("exclusiveMinimum", "More than"),
        ("exclusiveMaximum", "Less than"),
        ("multipleOf", "A multiple of"),
    ] {
        if let Some(number) = schema.get(key).filter(|number| number.is_number()) {
            remarks.push(format!("{words} {number}."));
        }
    }
    // Gemini takes values of texts only.
    keep_values(kept, schema, remarks, |_| false);
}

/// Keeps the allowed values if all of them can be kept, and names them otherwise.
fn keep_values(
    kept: &mut Map<String, Value>,
    schema: &Map<String, Value>,
    remarks: &mut Vec<String>,
    can_be_kept: impl Fn(&Value) -> bool,
) {
    let allowed = match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => vec![value.clone()],
        (None, Some(Value::Array(values))) => values.clone(),
        _ => return,
    };
    let mut values: Vec<Value> = Vec::new();
    for value in allowed {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    if values.is_empty() {
        return;
    }
    if values.iter().all(can_be_kept) {
        kept.insert("enum".to_owned(), Value::Array(values));
    } else {
        remarks.push(remark("One of", &Value::Array(values)));
    }
}

fn remark(words: &str, value: &Value) -> String {
    let text = value.to_string();
    if text.len() > MAXIMUM_REMARK_BYTES {
        let cut = text.floor_char_boundary(MAXIMUM_REMARK_BYTES);
        format!("{words} {}….", &text[..cut])
    } else {
        format!("{words} {text}.")
    }
}

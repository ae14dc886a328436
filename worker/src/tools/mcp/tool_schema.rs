//! Makes the parameter schema of a server's tool one that every model API takes: one
//! schema that OpenAI, Anthropic or Gemini refuses would make the whole request fail.
//! What is lost only loosens the schema, and is said in the descriptions; the server
//! still checks the arguments. Pure. [docs/mcp.md](../../../../docs/mcp.md) has the table.

mod keywords;
mod references;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Longest name of a parameter (Anthropic).
const MAXIMUM_NAME_BYTES: usize = 64;

/// A schema for models, and how the arguments differ from those of the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ModelSchema {
    pub(super) schema: Map<String, Value>,
    /// Names of parameters for the model, with those of the server.
    pub(super) renamed: BTreeMap<String, String>,
    /// What could not be said in the schema, for the description of the tool.
    pub(super) notes: Vec<String>,
}

/// The schema for models; an error if there is none.
pub(super) fn for_models(schema: &Value) -> Result<ModelSchema, String> {
    let schema = match schema {
        // A tool without a schema takes no arguments, or any.
        Value::Null | Value::Bool(true) => return Ok(without_parameters()),
        Value::Object(schema) => references::inline(schema)?,
        _ => return Err("its parameter schema is no object".to_owned()),
    };
    let mut notes = Vec::new();
    let mut root = merged_root(schema, &mut notes);
    match root.get("type") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind)) if kind == "object" => {}
        Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "object") => {}
        Some(_) => return Err("it does not take an object as its arguments".to_owned()),
    }
    root.insert("type".to_owned(), json!("object"));
    let mut root = keywords::object(root, 0);
    root.remove("anyOf");
    let renamed = rename_parameters(&mut root);
    Ok(ModelSchema {
        schema: root,
        renamed,
        notes,
    })
}

fn without_parameters() -> ModelSchema {
    ModelSchema {
        schema: Map::from_iter([
            ("type".to_owned(), json!("object")),
            ("properties".to_owned(), json!({})),
        ]),
        ..ModelSchema::default()
    }
}

/// The root with its alternatives merged: no model API takes them there. All parameters are offered; required are those
/// that every alternative requires.
fn merged_root(mut root: Map<String, Value>, notes: &mut Vec<String>) -> Map<String, Value> {
    for part in keywords::parts(root.remove("allOf")) {
        let part = merged_root(part, notes);
        merge(&mut root, &part, Required::Add);
    }
    for keyword in ["anyOf", "oneOf"] {
        let alternatives = keywords::parts(root.remove(keyword));
        let mut sets: Vec<Vec<String>> = Vec::new();
        for alternative in alternatives {
            let alternative = merged_root(alternative, notes);
            sets.push(required(&alternative));
            merge(&mut root, &alternative, Required::Keep);
        }
        let Some((first, others)) = sets.split_first() else {
            continue;
        };
        let mut all = required(&root);
        all.extend(
            first
                .iter()
                .filter(|name| others.iter().all(|set| set.contains(name)))
                .cloned(),
        );
        set_required(&mut root, all);
        if sets.iter().any(|set| set != first) {
            let sets: Vec<String> = sets.iter().map(|set| format!("({})", set.join(", "))).collect();
            notes.push(format!(
                "Give one of these groups of parameters: {}.",
                sets.join(" or ")
            ));
        }
    }
    root
}

#[derive(Clone, Copy, PartialEq)]
enum Required {
    Add,
    Keep,
}

fn merge(root: &mut Map<String, Value>, part: &Map<String, Value>, add: Required) {
    if add == Required::Add {
        let mut all = required(root);
        all.extend(required(part));
        set_required(root, all);
    }
    if let Some(Value::Object(properties)) = part.get("properties") {
        let own = root.entry("properties").or_insert_with(|| json!({}));
        if !own.is_object() {
            *own = json!({});
        }
        if let Value::Object(own) = own {
            for (name, property) in properties {
                match own.get_mut(name) {
                    // Two alternatives with different values of one parameter, such as its kind.
                    Some(earlier) if earlier != property => *earlier = json!({"anyOf": [earlier.take(), property]}),
                    Some(_) => {}
                    None => {
                        own.insert(name.clone(), property.clone());
                    }
                }
            }
        }
    }
    if let (None, Some(description)) = (root.get("description"), part.get("description")) {
        root.insert("description".to_owned(), description.clone());
    }
}

fn required(schema: &Map<String, Value>) -> Vec<String> {
    let names = schema.get("required").and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn set_required(schema: &mut Map<String, Value>, names: Vec<String>) {
    let mut seen = BTreeSet::new();
    let names: Vec<String> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
    if !names.is_empty() {
        schema.insert("required".to_owned(), json!(names));
    }
}

/// Gives parameters names that model APIs take; returns the names that differ, with those of the server.
fn rename_parameters(root: &mut Map<String, Value>) -> BTreeMap<String, String> {
    let mut renamed = BTreeMap::new();
    let Some(Value::Object(properties)) = root.get_mut("properties") else {
        return renamed;
    };
    if properties.keys().all(|name| is_usable(name)) {
        return renamed;
    }
    let mut taken: BTreeSet<String> = properties.keys().filter(|name| is_usable(name)).cloned().collect();
    let old = std::mem::take(properties);
    for (name, property) in old {
        if is_usable(&name) {
            properties.insert(name, property);
            continue;
        }
        let usable = usable_name(&name, &taken);
        taken.insert(usable.clone());
        properties.insert(usable.clone(), property);
        renamed.insert(usable, name);
    }
    if let Some(Value::Array(required)) = root.get_mut("required") {
        for name in required {
            let changed = renamed.iter().find(|(_, original)| *name == original.as_str());
            if let Some((usable, _)) = changed {
                *name = json!(usable);
            }
        }
    }
    renamed
}

fn is_usable(name: &str) -> bool {
    (1..=MAXIMUM_NAME_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn usable_name(name: &str, taken: &BTreeSet<String>) -> String {
    let usable = name.chars().map(|character| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => character,
        _ => '_',
    });
    // Leaves room for a number.
    let usable: String = usable.take(MAXIMUM_NAME_BYTES - 4).collect();
    let usable = if usable.is_empty() { "_".to_owned() } else { usable };
    let numbered = (2..).map(|number: u32| format!("{usable}_{number}"));
    std::iter::once(usable.clone())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or(usable)
}

#[cfg(test)]
mod tests;

//! The reference of a resource as a page: one table of fields for each object of its schema.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::{GROUP, VERSION, json_schema::structural_schema};

/// The page of one definition, in Markdown.
#[must_use]
pub fn page(definition: &CustomResourceDefinition) -> String {
    let schema = structural_schema(definition);
    let names = &definition.spec.names;
    let mut page = format!("# {}\n\n{}\n\n", names.kind, text(&schema["description"]));
    let short = names.short_names.iter().flatten();
    let short: Vec<String> = short.map(|name| format!("`{name}`")).collect();
    let _ = writeln!(
        page,
        "`apiVersion: {GROUP}/{VERSION}`, `kind: {}`. For kubectl: `{}`{}{}.",
        names.kind,
        names.plural,
        if short.is_empty() { "" } else { ", " },
        short.join(", "),
    );
    let mut sections = Vec::new();
    for part in ["spec", "status"] {
        collect(&schema["properties"][part], part, &mut sections);
    }
    for (path, schema) in sections {
        section(&path, schema, &mut page);
    }
    page
}

/// Every object with fields of its own at and below a schema, each with its path.
fn collect<'a>(schema: &'a Value, path: &str, sections: &mut Vec<(String, &'a Value)>) {
    let (schema, path) = element(schema, path.to_owned());
    let Some(fields) = schema["properties"].as_object() else {
        return;
    };
    sections.push((path.clone(), schema));
    for (name, field) in fields {
        collect(field, &format!("{path}.{name}"), sections);
    }
}

/// What a list or a map holds, and its path: `spec.tools[]`, `spec.headers{}`.
fn element(mut schema: &Value, mut path: String) -> (&Value, String) {
    loop {
        if schema["items"].is_object() {
            schema = &schema["items"];
            path.push_str("[]");
        } else if schema["additionalProperties"].is_object() {
            schema = &schema["additionalProperties"];
            path.push_str("{}");
        } else {
            return (schema, path);
        }
    }
}

fn section(path: &str, schema: &Value, page: &mut String) {
    let _ = write!(page, "\n## {path}\n\n");
    // A description of the object itself stands with the field that holds it.
    if !path.contains('.') {
        let _ = write!(page, "{}\n\n", text(&schema["description"]));
    }
    let _ = writeln!(page, "| field | type | default | meaning |\n| --- | --- | --- | --- |");
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null => String::new(),
            // Those of an object stand with its fields.
            _ if field["properties"].is_object() => String::new(),
            default => format!("`{default}`"),
        };
        let _ = writeln!(
            page,
            "| `{name}` | {} | {} | {} |",
            type_of(field, &format!("{path}.{name}")),
            cell(&default),
            cell(&meaning(field)),
        );
    }
    let rules = messages(schema);
    if !rules.is_empty() {
        let _ = writeln!(page, "\nRules: {}.", rules.join("; "));
    }
}

/// The type, which leads to the section of an object.
fn type_of(field: &Value, path: &str) -> String {
    let (inner, inner_path) = element(field, path.to_owned());
    let depth = inner_path.strip_prefix(path).unwrap_or_default();
    let mut name = if inner["x-kubernetes-int-or-string"] == true {
        "integer or string".to_owned()
    } else if inner["properties"].is_object() {
        format!("[object](#{})", anchor(&inner_path))
    } else {
        inner["type"].as_str().unwrap_or("any").to_owned()
    };
    for container in depth.split_inclusive([']', '}']).rev() {
        name = if container == "[]" {
            format!("list of {name}")
        } else {
            format!("map of {name}")
        };
    }
    name
}

/// What the description and the limits say.
fn meaning(field: &Value) -> String {
    let mut sentences = vec![text(&field["description"])];
    let values = field["enum"].as_array().into_iter().flatten();
    let values: Vec<String> = values.map(|value| format!("`{}`", plain(value))).collect();
    if !values.is_empty() {
        sentences.push(format!("One of {}.", values.join(", ")));
    }
    for (name, words) in [
        ("minimum", "At least"),
        ("maximum", "At most"),
        ("maxLength", "Characters at most:"),
        ("maxItems", "Entries at most:"),
        ("maxProperties", "Entries at most:"),
    ] {
        if let Some(limit) = field[name].as_f64() {
            sentences.push(format!("{words} {limit}."));
        }
    }
    if let Some(pattern) = field["pattern"].as_str() {
        sentences.push(format!("Pattern {}.", code(pattern)));
    }
    // Those of an object stand in its own section.
    if !field["properties"].is_object() {
        sentences.extend(messages(field).into_iter().map(|rule| format!("Rule: {rule}.")));
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences.join(" ")
}

/// What the rules of a schema say when they refuse.
fn messages(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules
        .map(|rule| text(&rule["message"]))
        .filter(|text| !text.is_empty())
        .collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text on one line.
fn text(value: &Value) -> String {
    let words: Vec<&str> = value.as_str().unwrap_or_default().split_whitespace().collect();
    words.join(" ")
}

/// A pattern as code. Readers of links take a bracket before a parenthesis for one, also within code.
fn code(pattern: &str) -> String {
    if pattern.contains("](") {
        let escaped = pattern.replace('&', "&amp;").replace('<', "&lt;").replace('*', "&#42;");
        format!("<code>{}</code>", escaped.replace("](", "]&#40;"))
    } else {
        format!("`{pattern}`")
    }
}

/// A bar ends a cell, also within code.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The anchor of a heading, as forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
    kept.flat_map(char::to_lowercase).collect::<String>().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Agent, AgentTool, definition};

    #[test]
    fn every_object_has_a_section_and_every_field_a_row() {
        let page = page(&definition::<Agent>());
        for expected in [
            "# Agent\n\nAn AI agent whose conversations survive the loss of any process.\n",
            "\n## spec\n",
            "| `model` | [object](#specmodel) |",
            "| `tools` | list of [object](#spectools) |",
            "\n## spec.tools[]\n",
            "\n## spec.context.compaction\n",
            "| `thresholdPercent` | integer | `80` | How full the context window may be, in percent, before the conversation \
             is compacted. At least 10. At most 95. |",
            "\n## status\n",
        ] {
            assert!(page.contains(expected), "{expected}\n{page}");
        }
    }

    #[test]
    fn a_rule_stands_where_it_holds() {
        let tools = page(&definition::<AgentTool>());
        let spec = tools
            .split("\n## ")
            .find(|section| section.starts_with("spec\n"))
            .unwrap();
        assert!(spec.contains("\nRules: "), "{spec}");
    }

    #[test]
    fn no_field_is_without_a_meaning() {
        for definition in crate::definitions() {
            let page = page(&definition);
            let empty: Vec<&str> = page.lines().filter(|line| line.ends_with("|  |")).collect();
            assert!(empty.is_empty(), "{}: {empty:?}", definition.spec.names.kind);
        }
    }

    #[test]
    fn a_pattern_is_neither_the_end_of_a_cell_nor_a_link() {
        assert_eq!(cell(&code("a|b")), "`a\\|b`");
        assert_eq!(code("[a]([b]*)?"), "<code>[a]&#40;[b]&#42;)?</code>");
    }
}

//! `values.yaml` and `values.schema.json` say the same, and nothing else is taken.

use std::collections::BTreeSet;

use serde_json::Value;
use steadfast_crds::yaml;
use steadfast_e2e::chart::chart;

/// Settings with names that the chart does not choose.
const FREE: [&str; 5] = ["affinity", "annotations", "labels", "nodeSelector", "podAnnotations"];
/// What Helm puts into the values of a subchart.
const OF_HELM: [&str; 4] = ["enabled", "exports", "global", "tags"];

fn schema() -> Value {
    let text = std::fs::read_to_string(chart("steadfast").join("values.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A schema, or the definition that it refers to.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// The path of every setting that the schema knows.
fn known(root: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        found.insert(path.to_owned());
        return;
    };
    assert_eq!(
        schema["additionalProperties"],
        Value::Bool(false),
        "{path} takes any name"
    );
    for (name, property) in properties {
        if path.is_empty() && OF_HELM.contains(&name.as_str()) {
            continue;
        }
        known(root, resolved(root, property), &join(path, name), found);
    }
}

/// The path of every setting in the file.
fn written(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !is_free(path) => {
            for (name, member) in members {
                written(member, &join(path, name), found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// Whether what stands below is the user's.
fn is_free(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or_default();
    FREE.contains(&name) || path.ends_with(".resources.requests") || path.ends_with(".resources.limits")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[test]
fn every_setting_is_in_the_schema_and_in_the_file_with_its_default() {
    let text = std::fs::read_to_string(chart("steadfast").join("values.yaml")).unwrap();
    let values: Value = yaml::from_str(&text).unwrap();
    let root = schema();
    let (mut known_settings, mut written_settings) = (BTreeSet::new(), BTreeSet::new());
    known(&root, &root, "", &mut known_settings);
    written(&values, "", &mut written_settings);
    // A part of `resources` that nobody sets by default.
    known_settings.retain(|path| !path.ends_with(".resources.claims"));
    let without_default: Vec<_> = known_settings.difference(&written_settings).collect();
    let without_schema: Vec<_> = written_settings.difference(&known_settings).collect();
    assert!(without_default.is_empty(), "not in values.yaml: {without_default:?}");
    assert!(without_schema.is_empty(), "not in the schema: {without_schema:?}");
}

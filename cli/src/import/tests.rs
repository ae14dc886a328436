//! Imports manifests that are shaped like public ones, and two that have every
//! field of their schema.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;
use steadfast_crds::manifests;
use steadfast_operator::lint::{Severity, lint};

use super::{
    source::{Outcome, UNKNOWN},
    *,
};

/// What became of the fields of a schema.
type Fates = BTreeMap<(String, String), BTreeSet<String>>;

fn testdata(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/import/testdata")
        .join(directory)
}

fn import_file(project: &str, file: &Path) -> Imported {
    let texts = read(&[file.to_owned()]).unwrap();
    match project {
        "kagent" => kagent::import(&texts).unwrap(),
        _ => import_all(&texts, agentex::import).unwrap(),
    }
}

/// A field with `[]` in place of numbers.
fn without_numbers(field: &str) -> String {
    let mut out = String::new();
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        out.push_str("[]");
        rest = after.split_once(']').map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// The fate of each field of the list: of itself, or of what it is a part of.
fn fates(fields: &str, imported: &Imported) -> Fates {
    let mut fates = Fates::new();
    for (kind, field) in fields.lines().filter_map(|line| line.split_once(' ')) {
        let key = (kind.to_owned(), field.to_owned());
        let of_kind = imported.documents.iter().filter(|document| document.kind == kind);
        for known in of_kind.flat_map(|document| &document.fields) {
            let name = without_numbers(&known.field);
            let is_part = |whole: &str, part: &str| {
                part.strip_prefix(whole)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            if is_part(&name, field) || is_part(field, &name) {
                let fate = match &known.outcome {
                    Outcome::MappedTo(target) => format!("→ {target}"),
                    Outcome::NotCarriedOver(why) => format!("not carried over: {why}"),
                };
                fates.entry(key.clone()).or_default().insert(fate);
            }
        }
        fates.entry(key).or_default();
    }
    fates
}

fn table(fates: &Fates) -> String {
    let rows = fates.iter().map(|((kind, field), fates)| {
        let fates: Vec<&str> = fates.iter().map(String::as_str).collect();
        format!("| {kind} | `{field}` | {} |\n", fates.join("; or ").replace('|', "\\|"))
    });
    rows.collect()
}

#[test]
fn every_field_of_both_schemas_is_mapped_or_in_the_report() {
    let page = include_str!("../../../docs/import.md");
    let mut tables = Vec::new();
    for project in ["agentex", "kagent"] {
        let fields = fs::read_to_string(testdata("full").join(format!("{project}-fields.txt"))).unwrap();
        let imported = import_file(project, &testdata("full").join(format!("{project}.yaml")));
        let fates = fates(&fields, &imported);
        for ((kind, field), fates) in &fates {
            assert!(
                !fates.is_empty(),
                "{kind} {field} is not in {project}.yaml or has no fate"
            );
            assert!(
                !fates.iter().any(|fate| fate.contains(UNKNOWN)),
                "{kind} {field} is not known"
            );
        }
        // Nothing of the manifests is missing in the list.
        for document in &imported.documents {
            for field in &document.fields {
                let is_unknown = matches!(&field.outcome, Outcome::NotCarriedOver(why) if why == UNKNOWN);
                assert!(!is_unknown, "{} {} is not known", document.kind, field.field);
            }
        }
        tables.push(table(&fates));
    }
    assert!(
        tables.iter().all(|table| page.contains(table.as_str())),
        "docs/import.md must hold these tables:\n{}",
        tables.join("\n\n")
    );
}

#[tokio::test]
async fn manifests_shaped_like_public_ones_pass_lint() {
    for (project, importable) in [("kagent", 5), ("agentex", 5)] {
        let mut passed = 0;
        for file in manifests::files_in(&testdata(project), false).unwrap() {
            let made = import_file(project, &file);
            if made.manifests.is_empty() {
                assert!(!made.documents[0].notes.is_empty(), "{}", file.display());
                continue;
            }
            let text = documents(&made.manifests).unwrap();
            let objects_read = manifests::parse(&file, &text).unwrap();
            let objects: Vec<&Value> = objects_read.iter().map(|manifest| &manifest.object).collect();
            assert_eq!(objects, made.manifests.iter().collect::<Vec<_>>(), "{text}");
            let report = lint(&objects_read, "default").await.unwrap();
            let errors: Vec<_> = report
                .diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .collect();
            assert!(errors.is_empty(), "{}: {errors:#?}\n{text}", file.display());
            passed += 1;
        }
        assert_eq!(passed, importable, "{project}");
    }
}

/// The spec of an imported object.
fn spec<'a>(imported: &'a Imported, kind: &str, name: &str) -> &'a Value {
    let found = imported
        .manifests
        .iter()
        .find(|manifest| manifest["kind"] == kind && manifest["metadata"]["name"] == name);
    &found.unwrap_or_else(|| panic!("no {kind} {name} in {:#?}", imported.manifests))["spec"]
}

#[test]
fn an_agent_of_kagent_keeps_prompt_model_tools_and_approvals() {
    let imported = import_file("kagent", &testdata("kagent/cluster-helper.yaml"));
    let agent = spec(&imported, "Agent", "cluster-helper");
    assert_eq!(
        agent["instructions"],
        "You are cluster-helper. Change nothing without being asked to.\nUse `kubectl get -o \
         jsonpath='{.items[0]}'` as an example.\n"
    );
    assert_eq!(agent["model"]["name"], "gpt-4.1-mini");
    assert_eq!(agent["credentials"][0]["secretName"], "model-key");
    assert_eq!(agent["worker"]["resources"]["limits"]["memory"], "1Gi");
    let tool = spec(&imported, "AgentTool", "cluster-helper-cluster-tools");
    assert_eq!(tool["mcp"]["url"], "http://cluster-tools.kagent:8084/mcp");
    assert_eq!(tool["mcp"]["tools"][0], serde_json::json!({"name": "get_objects"}));
    assert_eq!(tool["mcp"]["tools"][3]["approval"]["required"], true);
}

#[test]
fn a_model_behind_a_gateway_keeps_its_settings() {
    let imported = import_file("kagent", &testdata("kagent/through-a-gateway.yaml"));
    let model = &spec(&imported, "Agent", "gateway-assistant")["model"];
    assert_eq!(
        model,
        &serde_json::json!({
            "name": "vllm/qwen2.5-7b", "api": "ChatCompletions",
            "baseUrl": "http://litellm.kagent.svc.cluster.local:4000/v1",
            "settings": {
                "temperature": 0.2, "topP": 0.9, "maxOutputTokens": 1024,
                "extraBody": {"frequency_penalty": 0.5, "seed": 7},
            },
            "timeouts": {"call": "2m"},
        })
    );
}

#[test]
fn a_manifest_of_agentex_becomes_an_agent_to_complete() {
    let imported = import_file("agentex", &testdata("agentex/claude.yaml"));
    let agent = spec(&imported, "Agent", "claude-desk");
    assert_eq!(agent["model"]["baseUrl"], "https://api.anthropic.com/v1");
    assert_eq!(agent["model"]["apiKeyEnvVar"], "ANTHROPIC_API_KEY");
    let notes = &imported.documents[0].notes;
    assert!(notes[0].contains("project/run_worker.py"), "{notes:?}");
}

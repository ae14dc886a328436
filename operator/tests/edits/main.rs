//! An edit of any field of any resource does what the table says, and nothing else. From
//! manifests through dereference, validate and build, without an API server; some of the
//! edits are made on a real one in `control_plane/edits.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod page;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use kube::core::cel::Validator;
use serde_json::{Value, json};
use steadfast_crds::{AgentRevision, definition, fields::spec_fields, json_schema, user_definitions};
use steadfast_testkit::edits::{self, Edit, Effect};

use world::{World, name_of};

#[test]
fn every_field_of_every_kind_has_exactly_one_row() {
    let mut rows: BTreeMap<(String, String), usize> = BTreeMap::new();
    for edit in edits::all() {
        *rows.entry((edit.kind.to_owned(), edit.field.to_owned())).or_default() += 1;
    }
    let fields: BTreeSet<(String, String)> = user_definitions()
        .into_iter()
        .flat_map(|definition| {
            let kind = definition.spec.names.kind.clone();
            spec_fields(&definition)
                .into_iter()
                .map(move |field| (kind.clone(), field))
        })
        .collect();
    let without_row: Vec<_> = fields.iter().filter(|field| !rows.contains_key(field)).collect();
    let without_field: Vec<_> = rows.keys().filter(|row| !fields.contains(row)).collect();
    let twice: Vec<_> = rows.iter().filter(|(_, count)| **count > 1).collect();
    assert!(
        without_row.is_empty(),
        "say in tests/testkit/src/edits what an edit of these fields does: {without_row:?}"
    );
    assert!(without_field.is_empty(), "no such field: {without_field:?}");
    assert!(twice.is_empty(), "more than one row: {twice:?}");
}

#[test]
fn each_edit_that_is_made_elsewhere_names_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (field, proof) in edits::all().iter().filter_map(|edit| Some((edit.field, edit.proof?))) {
        let file = std::fs::read_to_string(root.join(proof.file)).unwrap();
        assert!(file.contains(&format!("fn {}()", proof.test)), "{field}: {proof:?}");
    }
}

#[tokio::test]
async fn each_edit_changes_what_the_table_says_and_nothing_else() {
    let objects = world::objects();
    let first = World::built(&objects, &BTreeMap::new()).await;
    let histories = first.histories();
    let before = World::built(&objects, &histories).await;
    assert_eq!(before.errors, Vec::<String>::new());
    let rules = Rules::new();
    let mut wrong = Vec::new();
    for edit in edits::all().into_iter().filter(Edit::is_made_here) {
        let Some(index) = objects.iter().position(|object| edit.fits(object)) else {
            wrong.push(format!(
                "{} {}: no object in objects.yaml has it",
                edit.kind, edit.field
            ));
            continue;
        };
        let edited = edit.applied(&objects[index]).expect("the fields are there");
        let refused = rules.refusal(edit.kind, &objects[index], &edited);
        let found = match (edit.effect, refused) {
            (Effect::Refused(message), Some(refused)) if refused.contains(message) => continue,
            (Effect::Refused(_), refused) => Err(format!("refused with {refused:?}")),
            (_, Some(refused)) => Err(format!("refused with {refused}")),
            (_, None) => {
                let mut after = objects.clone();
                after[index] = edited;
                let after = World::built(&after, &histories).await;
                let changes = after.changes_since(&before);
                let expected = edit.expected_changes(&objects, &name_of(&objects[index]));
                if changes == expected && after.errors.is_empty() {
                    Ok(())
                } else {
                    Err(format!("changes {changes:?}, and not {expected:?}; {:?}", after.errors))
                }
            }
        };
        if let Err(found) = found {
            wrong.push(format!("{} {}: {found}", edit.kind, edit.field));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the API server checks of an edit.
struct Rules(BTreeMap<String, (Value, jsonschema::Validator)>);

impl Rules {
    fn new() -> Self {
        let rules = user_definitions().into_iter().map(|definition| {
            let strict = jsonschema::draft7::new(&json_schema::resource_schema(&definition)).unwrap();
            let structural = json_schema::structural_schema(&definition);
            (definition.spec.names.kind, (structural, strict))
        });
        Self(rules.collect())
    }

    fn refusal(&self, kind: &str, before: &Value, after: &Value) -> Option<String> {
        let (structural, strict) = &self.0[kind];
        if let Err(error) = strict.validate(after) {
            return Some(format!("{}: {error}", error.instance_path()));
        }
        let checked = Validator::new().validate(structural, after, Some(before));
        checked.err().map(|errors| errors.to_string())
    }
}

#[test]
fn no_field_of_a_revision_can_be_edited() {
    let definition = definition::<AgentRevision>();
    let structural = json_schema::structural_schema(&definition);
    let fields = spec_fields(&definition);
    assert!(fields.len() > 100, "{}", fields.len());
    for field in fields {
        let of = |value: Value| {
            // From the leaf outwards: `a[].b` is an object in a list in an object.
            let spec = field.rsplit('.').fold(value, |inner, step| {
                let name = step.trim_end_matches(['[', ']', '{', '}']);
                let inner = match &step[name.len()..] {
                    "" => inner,
                    "{}" => json!({"key": inner}),
                    lists => lists.matches("[]").fold(inner, |inner, _| json!([inner])),
                };
                json!({name: inner})
            });
            let mut object = json!({"metadata": {"name": "a-1"}});
            object["spec"] = spec["spec"].clone();
            object
        };
        let (before, after) = (of(json!("before")), of(json!("after")));
        let checked = Validator::new().validate(&structural, &after, Some(&before));
        let refusal = checked.err().map(|errors| errors.to_string()).unwrap_or_default();
        assert!(
            refusal.contains("an AgentRevision never changes"),
            "{field}: {refusal:?}"
        );
        let same = Validator::new().validate(&structural, &before, Some(&before));
        let refusal = same.err().map(|errors| errors.to_string()).unwrap_or_default();
        assert!(!refusal.contains("never changes"), "{field}: {refusal}");
    }
}

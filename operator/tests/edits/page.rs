//! The tables of `docs/edits.md`, made from the rows.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use steadfast_testkit::edits::{self, Effect};

const BEGIN: &str = "<!-- made by operator/tests/edits -->\n";
const END: &str = "<!-- end -->\n";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/edits.md")
}

/// The committed page, and what it must be.
fn pages() -> (String, String) {
    let page = std::fs::read_to_string(path()).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}{}{END}{after}", tables());
    (page, made)
}

fn tables() -> String {
    let mut text = String::new();
    for kind in ["Agent", "AgentTool", "WorkerPool", "AgentReferenceGrant"] {
        let fields: BTreeMap<&str, Effect> = edits::all()
            .into_iter()
            .filter(|edit| edit.kind == kind)
            .map(|edit| (edit.field, edit.effect))
            .collect();
        let _ = write!(text, "\n### {kind}\n\n| field | an edit changes |\n| --- | --- |\n");
        for (field, effect) in joined(&fields) {
            let _ = writeln!(text, "| `{field}` | {} |", effect.sentence());
        }
    }
    text.push('\n');
    text
}

/// Fields with the same effect below one object are one row, `spec.model.*`.
fn joined(fields: &BTreeMap<&str, Effect>) -> BTreeMap<String, Effect> {
    let mut joined = BTreeMap::new();
    for (field, effect) in fields {
        // The outermost object whose fields all have this effect; never the whole spec.
        let ends = field.match_indices('.').map(|(end, _)| &field[..=end]).skip(1);
        let mut prefixes = ends.filter(|prefix| {
            let mut below = fields.iter().filter(|(other, _)| other.starts_with(prefix));
            below.all(|(_, other)| other == effect)
        });
        let row = prefixes
            .next()
            .map_or_else(|| (*field).to_owned(), |prefix| format!("{prefix}*"));
        joined.insert(row, *effect);
    }
    joined
}

#[test]
fn the_page_says_of_every_field_what_an_edit_does() {
    let (page, made) = pages();
    assert!(
        page == made,
        "docs/edits.md differs; write it anew: cargo test -p steadfast-operator --test edits write_the_page -- \
         --ignored\n{made}"
    );
}

#[test]
#[ignore = "writes docs/edits.md"]
fn write_the_page() {
    let (_, made) = pages();
    std::fs::write(path(), made).unwrap();
}

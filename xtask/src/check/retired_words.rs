//! Names that this code no longer uses, so that a word has one meaning and each
//! name is the standard one. `table.rs` has them, with the word that stands for
//! each.

mod table;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::sources;
use table::{Retired, Scope, TABLE};

/// Files that hold what others wrote, or that must say a retired word.
const EXCEPTIONS: [&str; 5] = [
    "CHANGELOG.md",
    "tests/histories",
    "tests/states",
    "xtask/src/check/retired_words.rs",
    "xtask/src/check/retired_words/table.rs",
];

const EXTENSIONS: [&str; 11] = ["lua", "md", "py", "rs", "sh", "toml", "tpl", "ts", "txt", "yaml", "yml"];
/// What stands before the name of an item.
const ITEM_KEYWORDS: [&str; 6] = ["enum", "mod", "struct", "trait", "type", "union"];
const SHOWN: usize = 100;

pub(super) fn check(root: &Path) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for path in sources::list(root)? {
        let is_excepted = EXCEPTIONS.iter().any(|exception| path.starts_with(exception));
        let is_text = path
            .extension()
            .is_some_and(|extension| EXTENSIONS.iter().any(|text| extension == *text));
        if is_excepted || !is_text {
            continue;
        }
        let text = std::fs::read_to_string(root.join(&path)).with_context(|| format!("read {}", path.display()))?;
        problems.extend(in_path(&path));
        problems.extend(in_text(&path, &text));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let count = problems.len();
    problems.truncate(SHOWN);
    bail!(
        "{count} retired words (the table is xtask/src/check/retired_words/table.rs)\n{}",
        problems.join("\n")
    )
}

/// The directories and the file are names of items.
fn in_path(path: &Path) -> Option<String> {
    let names: Vec<Vec<String>> = path
        .with_extension("")
        .iter()
        .map(|name| words(&name.to_string_lossy()))
        .collect();
    let retired = TABLE.iter().find(|retired| {
        names.iter().any(|name| match retired.scope {
            Scope::Everywhere | Scope::Name => contains(name, retired),
            Scope::Item | Scope::Function => name.join(" ") == retired.word,
        })
    })?;
    Some(format!(
        "{}: the name has {:?}, use {:?}",
        path.display(),
        retired.word,
        retired.instead
    ))
}

fn in_text(path: &Path, text: &str) -> Vec<String> {
    let is_rust = path.extension().is_some_and(|extension| extension == "rs");
    let first_words: BTreeSet<&str> = TABLE
        .iter()
        .filter_map(|retired| retired.word.split(' ').next())
        .collect();
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line_words = words(line);
        if !line_words.iter().any(|word| first_words.contains(word.as_str())) {
            continue;
        }
        let candidates: Vec<&Retired> = TABLE.iter().filter(|retired| contains(&line_words, retired)).collect();
        let names = names(line);
        for retired in candidates {
            let is_used = match retired.scope {
                Scope::Everywhere => true,
                Scope::Name => names.iter().any(|name| contains(&words(name), retired)),
                Scope::Item | Scope::Function => {
                    is_rust && names.windows(2).any(|pair| declares(pair[0], pair[1], retired))
                }
            };
            if is_used {
                problems.push(format!(
                    "{}:{}: {:?}, use {:?}",
                    path.display(),
                    number + 1,
                    retired.word,
                    retired.instead
                ));
            }
        }
    }
    problems
}

fn declares(keyword: &str, name: &str, retired: &Retired) -> bool {
    let is_item = ITEM_KEYWORDS.contains(&keyword) || (keyword == "fn" && retired.scope == Scope::Function);
    is_item && words(name).join(" ") == retired.word
}

fn contains(words: &[String], retired: &Retired) -> bool {
    let mut wanted = retired.word.split(' ');
    let length = wanted.clone().count();
    let Some(first) = wanted.next() else { return false };
    let rest: Vec<&str> = wanted.collect();
    words
        .windows(length)
        .any(|window| window[0] == first && window[1..] == rest[..])
}

/// Identifiers, and words of comments.
fn names(line: &str) -> Vec<&str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|name| !name.is_empty())
        .collect()
}

/// The words of a text in lower case; `HandOver`, `hand_over` and `hand-over` are two words each.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut last_is_lower = false;
    for character in text.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && last_is_lower) {
            words.push(std::mem::take(&mut word));
        }
        if character.is_alphanumeric() {
            word.extend(character.to_lowercase());
        }
        last_is_lower = character.is_lowercase();
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::Workspace;

    fn problems(text: &str) -> usize {
        in_text(Path::new("src/lib.rs"), text).len()
    }

    #[test]
    fn a_retired_word_fails_the_check_and_is_told_its_successor() {
        let workspace = Workspace::new().in_git().source("lib.rs", "// The directory.\n");
        check(workspace.root()).unwrap();
        let broken = workspace.source("lib.rs", "//\n// The folder.\n");
        let error = check(broken.root()).unwrap_err().to_string();
        assert!(error.contains("src/lib.rs:2: \"folder\", use \"directory\""), "{error}");
    }

    #[test]
    fn a_file_name_is_checked() {
        let workspace = Workspace::new().in_git().source("curtain.rs", "");
        check(workspace.root()).unwrap_err();
    }

    #[test]
    fn every_way_to_write_a_retired_word_is_found() {
        for text in [
            "fn hand_over()",
            "struct HandOver;",
            "// to hand over",
            "\"hand-over\"",
            "HAND_OVER",
        ] {
            assert_eq!(problems(text), 1, "{text}");
        }
        assert_eq!(problems("// the hand is overlooked, a handoff"), 0);
    }

    #[test]
    fn a_plain_word_is_retired_only_as_the_name_of_an_item() {
        assert_eq!(problems("pub struct Known;"), 1);
        assert_eq!(problems("mod known;"), 1);
        assert_eq!(problems("let known = is_known(); // a known fact"), 0);
    }
}

//! What a page names exists: the file or heading of a link, the test that
//! verifies a promise, and one decision for each number.
//!
//! In the column "verified by" of `docs/verification.md`, `docs/parity.md` and `docs/a2a.md`,
//! text in backticks is a command, a place, or a name within the place before it. A
//! place is a path from the root or from `tests/e2e/tests`, with or without
//! `.rs`. A name is a test function, or a file of the place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::sources;

const DECISIONS: &str = "docs/decisions/";
const SUITES: &str = "tests/e2e/tests/";
/// Pages with tables whose last column is "verified by".
const TABLES: [&str; 3] = ["docs/verification.md", "docs/parity.md", "docs/a2a.md"];
/// The page on which nothing is promised without a test.
const PROMISES: &str = "docs/verification.md";

fn is_markdown(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "md")
}

pub(super) fn check(root: &Path) -> anyhow::Result<()> {
    let checkout = Checkout::read(root)?;
    let mut problems = Vec::new();
    for (page, text) in &checkout.texts {
        if is_markdown(page) {
            problems.extend(checkout.broken_links(page, text));
        }
    }
    for page in TABLES {
        if let Some(text) = checkout.texts.get(page) {
            problems.extend(checkout.unverified_rows(page, text));
        }
    }
    problems.extend(checkout.numbers_of_decisions());
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// The files of a checkout, and the texts of its pages and Rust files.
struct Checkout {
    files: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

impl Checkout {
    fn read(root: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeSet::new();
        let mut texts = BTreeMap::new();
        for path in sources::list(root)? {
            let name = path.to_string_lossy().into_owned();
            if matches!(path.extension().and_then(|ending| ending.to_str()), Some("md" | "rs")) {
                let text = std::fs::read_to_string(root.join(&path)).with_context(|| format!("read {name}"))?;
                texts.insert(name.clone(), text);
            }
            files.insert(name);
        }
        Ok(Self { files, texts })
    }

    fn broken_links(&self, page: &str, text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        for (number, line) in lines_of_prose(text) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
                let target = target.0;
                if target.contains(':') || target.is_empty() {
                    continue;
                }
                let (path, heading) = target.split_once('#').unwrap_or((target, ""));
                let path = if path.is_empty() {
                    page.to_owned()
                } else {
                    resolve(page, path)
                };
                let leads_somewhere = if path.is_empty() || self.files_below(&path).next().is_some() {
                    let page = self.texts.get(&path).filter(|_| is_markdown(&path));
                    heading.is_empty() || page.is_none_or(|text| has_heading(text, heading))
                } else {
                    false
                };
                if !leads_somewhere {
                    problems.push(format!("{page}:{number}: the link {target} leads nowhere"));
                }
            }
        }
        problems
    }

    /// The file, or the files of the directory.
    fn files_below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let is_below = move |file: &str| {
            file.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.files.iter().map(String::as_str).filter(move |file| is_below(file))
    }

    fn unverified_rows(&self, page: &str, text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let mut is_row = false;
        let mut line_before = "";
        for (number, line) in lines_of_prose(text) {
            let header = std::mem::replace(&mut line_before, line);
            if line.starts_with("| ---") {
                is_row = header.ends_with("| verified by |");
                continue;
            }
            is_row &= line.starts_with('|');
            if !is_row {
                continue;
            }
            let cell = line
                .trim_end_matches(['|', ' '])
                .rsplit(" | ")
                .next()
                .unwrap_or_default();
            let words: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            if words.is_empty() && page == PROMISES {
                problems.push(format!("{page}:{number}: nothing verifies the promise"));
            }
            let unknown = self.unknown_words(&words);
            problems.extend(unknown.map(|word| format!("{page}:{number}: there is no `{word}`")));
        }
        problems
    }

    fn unknown_words<'a>(&self, words: &[&'a str]) -> impl Iterator<Item = &'a str> {
        let mut place: Option<String> = None;
        let mut unknown = Vec::new();
        for word in words.iter().filter(|word| !word.contains(' ')) {
            if place.as_ref().is_some_and(|place| self.holds(place, word)) {
                continue;
            }
            match self.place(word) {
                Some(found) => place = Some(found),
                None => unknown.push(*word),
            }
        }
        unknown.into_iter()
    }

    /// The path of a place, without `.rs`.
    fn place(&self, word: &str) -> Option<String> {
        let word = word.trim_end_matches('/').trim_end_matches(".rs");
        [format!("{SUITES}{word}"), word.to_owned()]
            .into_iter()
            .find(|place| self.files_of(place).next().is_some())
    }

    /// The files of a directory or of a module.
    fn files_of<'a>(&'a self, place: &'a str) -> impl Iterator<Item = &'a str> {
        let is_of = move |file: &str| {
            file.strip_prefix(place)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
        };
        self.files.iter().map(String::as_str).filter(move |file| is_of(file))
    }

    fn holds(&self, place: &str, name: &str) -> bool {
        self.files_of(place).any(|file| {
            let below = Path::new(file.strip_prefix(place).unwrap_or_default());
            let names_a_file = below.with_extension("").iter().any(|part| part == name);
            let is_test = |text: &String| has_test(text, name) || has_function(text, name) && self.is_listed(name);
            names_a_file || self.texts.get(file).is_some_and(is_test)
        })
    }

    /// Whether a suite with a main function of its own lists a test.
    fn is_listed(&self, name: &str) -> bool {
        let (in_namespace, as_text) = (format!("::{name} in \""), format!("::{name}\""));
        let mut mains = self.texts.iter().filter(|(file, _)| file.ends_with("/main.rs"));
        mains.any(|(_, text)| text.contains(&in_namespace) || text.contains(&as_text))
    }

    fn numbers_of_decisions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut pages: BTreeMap<&str, &str> = BTreeMap::new();
        for page in self.files_below(DECISIONS.trim_end_matches('/')) {
            let name = page.strip_prefix(DECISIONS).unwrap_or_default();
            let number = name.split('-').next().unwrap_or_default();
            if let Some(other) = pages.insert(number, page) {
                problems.push(format!("{page}: {other} has the same number"));
            }
            let title = format!("# {}. ", number.trim_start_matches('0'));
            if !self.texts.get(page).is_some_and(|text| text.starts_with(&title)) {
                problems.push(format!("{page}: the title must start with {title:?}"));
            }
        }
        let numbers = pages.keys().map(|number| number.parse::<usize>());
        for (expected, number) in (1..).zip(numbers) {
            if number != Ok(expected) {
                problems.push(format!("{DECISIONS}: there is no decision {expected}"));
                break;
            }
        }
        problems
    }
}

/// Lines outside of fences, with their numbers.
fn lines_of_prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fence && !is_fenced
    })
}

/// A relative link as a path from the root.
fn resolve(page: &str, link: &str) -> String {
    let mut path = PathBuf::from(page);
    path.pop();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path.to_string_lossy().into_owned()
}

/// Whether a page has the heading, as GitHub and others write it in links.
fn has_heading(text: &str, heading: &str) -> bool {
    let anchor = |title: &str| -> String {
        let kept = title
            .chars()
            .filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
        kept.flat_map(char::to_lowercase)
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    };
    lines_of_prose(text).any(|(_, line)| {
        let title = line.trim_start_matches('#');
        title.len() < line.len() && anchor(title.trim()) == heading
    })
}

fn has_function(text: &str, name: &str) -> bool {
    text.contains(&format!("fn {name}("))
}

fn has_test(text: &str, name: &str) -> bool {
    text.match_indices(&format!("fn {name}(")).any(|(start, _)| {
        let before = text[..start].rsplit_once('\n').map_or("", |(before, _)| before);
        let mut attributes = before
            .split('\n')
            .rev()
            .map(str::trim)
            .take_while(|line| !line.is_empty());
        attributes.any(|line| line.starts_with("#[") && line.contains("test"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::Workspace;

    const TABLE: &str = "| promise | verified by |\n| --- | --- |\n";
    const SUITE: &str = "#[test]\nfn it_holds() {}\n\nfn helper() {}\n";

    fn with_row(cell: &str) -> Workspace {
        Workspace::new()
            .in_git()
            .source("tests.rs", SUITE)
            .file("tests/e2e/tests/stack/tools.rs", "")
            .file(
                "tests/e2e/tests/cluster/main.rs",
                "tests![part::it_is_listed in \"place\"]",
            )
            .file("tests/e2e/tests/cluster/part.rs", "fn it_is_listed() {}")
            .file("docs/verification.md", &format!("{TABLE}| It holds | {cell} |\n"))
    }

    #[test]
    fn a_row_must_name_a_test_that_exists() {
        for cell in [
            "`src/tests.rs`: `it_holds`, a property",
            "`src`: `it_holds`, `tests`",
            "`cluster/part`: `it_is_listed`",
            "`stack`: `tools`; `cargo xtask bench turn`",
            "`stack/tools`; `tests/e2e/tests/stack/tools.rs`",
        ] {
            check(with_row(cell).root()).unwrap();
        }
        for (cell, expected) in [
            (
                "`src/tests.rs`: `it_held`",
                "docs/verification.md:3: there is no `it_held`",
            ),
            (
                "`src/tests.rs`: `helper`",
                "docs/verification.md:3: there is no `helper`",
            ),
            ("`src/gone.rs`", "docs/verification.md:3: there is no `src/gone.rs`"),
            ("`it_holds`", "docs/verification.md:3: there is no `it_holds`"),
            ("tests", "docs/verification.md:3: nothing verifies the promise"),
        ] {
            let error = check(with_row(cell).root()).unwrap_err().to_string();
            assert_eq!(error, expected, "{cell}");
        }
    }

    #[test]
    fn a_link_must_lead_to_a_file_and_a_heading() {
        let with_link = |link: &str| {
            Workspace::new()
                .in_git()
                .file(
                    "docs/a.md",
                    &format!("See [it]({link}).\n\n```\n[no link](gone.md)\n```\n"),
                )
                .file("docs/b.md", "# Two `words`, and more\n")
        };
        for link in ["b.md", "../docs", "b.md#two-words-and-more", "https://example.com/gone"] {
            check(with_link(link).root()).unwrap();
        }
        for link in ["c.md", "../b.md", "b.md#three-words", "#two"] {
            let error = check(with_link(link).root()).unwrap_err().to_string();
            assert_eq!(error, format!("docs/a.md:1: the link {link} leads nowhere"));
        }
    }

    #[test]
    fn every_decision_has_a_number_of_its_own_and_none_is_missing() {
        let workspace = Workspace::new()
            .in_git()
            .file("docs/decisions/0001-first.md", "# 1. The first\n")
            .file("docs/decisions/0002-second.md", "# 2. The second\n");
        check(workspace.root()).unwrap();
        let broken = workspace
            .file("docs/decisions/0002-third.md", "# 3. The third\n")
            .file("docs/decisions/0004-fourth.md", "# 4. The fourth\n");
        let error = check(broken.root()).unwrap_err().to_string();
        assert!(
            error.contains("0002-third.md: docs/decisions/0002-second.md has the same number"),
            "{error}"
        );
        assert!(
            error.contains("0002-third.md: the title must start with \"# 2. \""),
            "{error}"
        );
        assert!(error.contains("there is no decision 3"), "{error}");
    }
}

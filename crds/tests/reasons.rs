//! The page says of every reason of a condition what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use steadfast_crds::conditions::Reason;

const PAGE: &str = include_str!("../../docs/troubleshooting.md");

/// The reasons in the first column of the table.
fn documented() -> BTreeSet<&'static str> {
    let (_, section) = PAGE.split_once("\n## The Agent is not Ready\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        // Which conditions have it follows in parentheses.
        .flat_map(|row| row.split(['|', '(']).next().unwrap().split('`').step_by(2))
        .filter(|text| text.chars().all(char::is_alphanumeric) && !text.is_empty())
        .collect()
}

#[test]
fn every_reason_has_its_remedy_and_no_other_is_named() {
    let known: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let documented = documented();
    let missing: Vec<_> = known.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md says nothing of {missing:?}"
    );
    assert!(
        unknown.is_empty(),
        "docs/troubleshooting.md names {unknown:?}, which no condition has"
    );
}

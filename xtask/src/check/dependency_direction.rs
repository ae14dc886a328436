//! Which crate may depend on which. Dependencies point inward: the innermost
//! crates know nobody, one crate links the workflow, and nothing depends on a
//! program.
//!
//! Direct dependencies between members are compared with a table. What a crate
//! links in the end is read from `cargo tree`, with the features that it has
//! when it is built alone.

use std::collections::BTreeMap;

use anyhow::bail;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::command;

use super::members::{self, Member};

/// Each member, and the members that it may depend on.
const MAY_DEPEND_ON: [(&str, &[&str]); 33] = [
    ("steadfast-attachments", &["steadfast-egress"]),
    ("steadfast-bounds", &[]),
    ("steadfast-egress", &[]),
    ("steadfast-agent-loop", &["steadfast-attachments", "steadfast-bounds"]),
    ("steadfast-crds", &[]),
    ("steadfast-events", &["steadfast-attachments"]),
    ("steadfast-ports", &[]),
    ("steadfast-process", &[]),
    ("steadfast-temporal-grpc", &[]),
    ("steadfast-watch", &[]),
    ("steadfast-tools", &["steadfast-wheels"]),
    ("steadfast-stand-in-model", &[]),
    ("steadfast-wheels", &[]),
    ("steadfast-workspace-hack", &[]),
    (
        "steadfast-attachment-store",
        &["steadfast-attachments", "steadfast-process"],
    ),
    (
        "steadfast-contract",
        &["steadfast-agent-loop", "steadfast-crds", "steadfast-events"],
    ),
    ("steadfast-cel", &["steadfast-bounds"]),
    ("steadfast-json-schema", &["steadfast-bounds"]),
    (
        "steadfast-eventlog",
        &["steadfast-bounds", "steadfast-events", "steadfast-process"],
    ),
    ("steadfast-payload", &["steadfast-bounds", "steadfast-contract"]),
    (
        "steadfast-temporal",
        &[
            "steadfast-contract",
            "steadfast-payload",
            "steadfast-process",
            "steadfast-temporal-grpc",
        ],
    ),
    (
        "steadfast-projection",
        &[
            "steadfast-agent-loop",
            "steadfast-bounds",
            "steadfast-contract",
            "steadfast-crds",
            "steadfast-events",
        ],
    ),
    (
        "steadfast-history",
        &[
            "steadfast-agent-loop",
            "steadfast-bounds",
            "steadfast-contract",
            "steadfast-crds",
            "steadfast-events",
            "steadfast-payload",
            "steadfast-projection",
            "steadfast-temporal",
        ],
    ),
    (
        "steadfast-workflow",
        &[
            "steadfast-agent-loop",
            "steadfast-bounds",
            "steadfast-contract",
            "steadfast-crds",
            "steadfast-events",
            "steadfast-payload",
            "steadfast-projection",
        ],
    ),
    (
        "steadfast-operator",
        &[
            "steadfast-bounds",
            "steadfast-cel",
            "steadfast-contract",
            "steadfast-crds",
            "steadfast-events",
            "steadfast-json-schema",
            "steadfast-payload",
            "steadfast-process",
            "steadfast-temporal",
            "steadfast-watch",
        ],
    ),
    (
        "steadfast-gateway",
        &[
            "steadfast-attachment-store",
            "steadfast-attachments",
            "steadfast-bounds",
            "steadfast-contract",
            "steadfast-crds",
            "steadfast-eventlog",
            "steadfast-events",
            "steadfast-history",
            "steadfast-json-schema",
            "steadfast-payload",
            "steadfast-process",
            "steadfast-projection",
            "steadfast-temporal",
            "steadfast-watch",
        ],
    ),
    (
        "steadfast-worker",
        &[
            "steadfast-agent-loop",
            "steadfast-attachment-store",
            "steadfast-attachments",
            "steadfast-bounds",
            "steadfast-cel",
            "steadfast-contract",
            "steadfast-crds",
            "steadfast-egress",
            "steadfast-eventlog",
            "steadfast-events",
            "steadfast-history",
            "steadfast-json-schema",
            "steadfast-payload",
            "steadfast-process",
            "steadfast-projection",
            "steadfast-temporal",
            "steadfast-watch",
            "steadfast-workflow",
        ],
    ),
    // The operator's stages are a library too: manifests are checked with them.
    (
        "steadfast",
        &[
            "steadfast-contract",
            "steadfast-crds",
            "steadfast-events",
            "steadfast-operator",
            "steadfast-ports",
            "steadfast-stand-in-model",
            "steadfast-wheels",
        ],
    ),
    // A worker with a tool of its own is made of the worker as a library.
    ("steadfast-example-rust-tool", &["steadfast-worker"]),
    (
        "steadfast-testkit",
        &[
            "steadfast-contract",
            "steadfast-crds",
            "steadfast-events",
            "steadfast-ports",
            "steadfast-tools",
        ],
    ),
    (
        "steadfast-e2e",
        &[
            "steadfast-contract",
            "steadfast-crds",
            "steadfast-events",
            "steadfast-testkit",
        ],
    ),
    ("xtask", &["steadfast-tools"]),
    ("xtask-platform", &["steadfast-testkit", "steadfast-tools"]),
];

/// What every member may have besides: the set of features for all, and in its tests the test kit.
const FOR_ALL: &str = "steadfast-workspace-hack";
const FOR_TESTS: [&str; 2] = ["steadfast-testkit", "steadfast-tools"];

/// A runtime, a network or a service.
const ACTING: [&str; 8] = [
    "hyper",
    "kube-client",
    "redis",
    "reqwest",
    "temporalio-client",
    "temporalio-sdk",
    "temporalio-sdk-core",
    "tokio",
];
const WORKFLOW: [&str; 3] = ["steadfast-workflow", "temporalio-sdk", "temporalio-workflow"];

/// Each member, and the crates that it must not link, directly or through others.
const MUST_NOT_LINK: [(&str, &[&str]); 13] = [
    ("steadfast-agent-loop", &ACTING),
    ("steadfast-attachments", &ACTING),
    ("steadfast-bounds", &ACTING),
    ("steadfast-cel", &ACTING),
    ("steadfast-contract", &ACTING),
    ("steadfast-crds", &ACTING),
    ("steadfast-egress", &ACTING),
    ("steadfast-events", &ACTING),
    ("steadfast-json-schema", &ACTING),
    ("steadfast-projection", &ACTING),
    ("steadfast-gateway", &WORKFLOW),
    ("steadfast-operator", &WORKFLOW),
    ("steadfast-workflow", &["kube-client", "redis", "temporalio-client"]),
];

pub(super) fn check(cargo: &Cargo) -> anyhow::Result<()> {
    let members = members::list(cargo)?;
    let mut problems = wrong_dependencies(&members);
    for (member, banned) in MUST_NOT_LINK {
        if members.iter().any(|found| found.name == member) {
            let tree = [
                "tree",
                "--locked",
                "--package",
                member,
                "--edges",
                "normal,build",
                "--prefix",
                "none",
                "--format",
                "{p}",
            ];
            problems.extend(wrong_links(
                member,
                banned,
                &command::output(&mut cargo.command(&tree))?,
            ));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "dependencies must point inward (the tables are in xtask/src/check/dependency_direction.rs)\n{}",
        problems.join("\n")
    )
}

fn wrong_dependencies(members: &[Member]) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.into_iter().collect();
    let mut problems = Vec::new();
    for Member { name, dependencies } in members {
        let Some(allowed) = table.get(name.as_str()) else {
            problems.push(format!("{name} is not in the table of members"));
            continue;
        };
        for dependency in dependencies {
            let other = dependency.name.as_str();
            let is_member = members.iter().any(|member| member.name == other);
            let is_for_tests = dependency.kind.as_deref() == Some("dev") && FOR_TESTS.contains(&other);
            if is_member && other != FOR_ALL && !is_for_tests && !allowed.contains(&other) {
                problems.push(format!("{name} must not depend on {other}"));
            }
        }
    }
    problems
}

/// `tree` has a crate per line, its name first.
fn wrong_links(member: &str, banned: &[&str], tree: &str) -> Vec<String> {
    let linked = |name: &&&str| tree.lines().any(|line| line.split(' ').next() == Some(**name));
    banned
        .iter()
        .filter(linked)
        .map(|name| {
            format!("{member} must not link {name}: see `cargo tree --package {member} --edges normal --invert {name}`")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::members::Dependency;

    fn member(name: &str, dependencies: &[(&str, Option<&str>)]) -> Member {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
        };
        Member {
            name: name.to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn the_gateway_must_not_depend_on_the_workflow() {
        let members = |gateway: &[_]| {
            [
                member("steadfast-workflow", &[("serde", None)]),
                member("steadfast-contract", &[]),
                member("steadfast-testkit", &[]),
                member("steadfast-gateway", gateway),
            ]
        };
        let allowed = [
            ("steadfast-contract", None),
            ("steadfast-testkit", Some("dev")),
            ("tokio", None),
        ];
        assert_eq!(wrong_dependencies(&members(&allowed)), [""; 0]);
        assert_eq!(
            wrong_dependencies(&members(&[("steadfast-workflow", None)])),
            ["steadfast-gateway must not depend on steadfast-workflow"]
        );
        assert_eq!(
            wrong_dependencies(&members(&[("steadfast-testkit", None)])),
            ["steadfast-gateway must not depend on steadfast-testkit"]
        );
    }

    #[test]
    fn a_new_member_must_be_in_the_table() {
        assert_eq!(
            wrong_dependencies(&[member("steadfast-console", &[])]),
            ["steadfast-console is not in the table of members"]
        );
    }

    #[test]
    fn a_crate_that_is_linked_through_another_counts() {
        let tree = "steadfast-contract v0.1.0 (/steadfast/contract)\nserde v1.0.0\ntokio v1.0.0\ntokio-util v0.7.0\n";
        let problems = wrong_links("steadfast-contract", &["tokio", "redis"], tree);
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("steadfast-contract must not link tokio"),
            "{problems:?}"
        );
    }
}

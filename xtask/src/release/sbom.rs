//! The software bill of materials: every crate that is linked into the programs
//! of a release, in SPDX 2.3 (<https://spdx.github.io/spdx-spec/v2.3/>).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_tools::cargo::Cargo;
use steadfast_tools::command::output;
use steadfast_tools::{files, workspace};

use super::VERSION;

/// The packages of the programs.
const PROGRAMS: [&str; 4] = [
    "steadfast",
    "steadfast-operator",
    "steadfast-gateway",
    "steadfast-worker",
];

/// The part of `cargo metadata` that is read.
/// Source: <https://doc.rust-lang.org/cargo/commands/cargo-metadata.html>
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// None for a crate of the workspace.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// None for what is linked; `dev` and `build` otherwise.
    kind: Option<String>,
}

/// Writes `steadfast-VERSION.spdx.json`.
pub(super) fn write(cargo: &Cargo, dist: &Path) -> anyhow::Result<PathBuf> {
    let mut command = cargo.command(&["metadata", "--locked", "--format-version", "1", "--filter-platform"]);
    command.arg(cargo.host());
    let metadata: Metadata = serde_json::from_str(&output(&mut command)?).context("read cargo's metadata")?;
    // The time of the commit: the same sources make the same file.
    let mut git = Command::new("git");
    git.args([
        "show",
        "--no-patch",
        "--format=%cd",
        "--date=format-local:%Y-%m-%dT%H:%M:%SZ",
        "HEAD",
    ])
    .env("TZ", "UTC")
    .current_dir(workspace::root());
    let created = output(&mut git)?;
    let path = dist.join(format!("steadfast-{VERSION}.spdx.json"));
    let document = document(&metadata, created.trim());
    files::write(&path, &format!("{document:#}\n"))?;
    Ok(path)
}

fn document(metadata: &Metadata, created: &str) -> Value {
    let linked = linked(metadata);
    let packages: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|package| linked.contains(&*package.id))
        .collect();
    let ids: BTreeMap<&str, String> = packages
        .iter()
        .map(|package| (&*package.id, spdx_id(package)))
        .collect();
    let mut relationships: Vec<Value> = packages
        .iter()
        .filter(|package| PROGRAMS.contains(&&*package.name))
        .map(|package| relationship("SPDXRef-DOCUMENT", "DESCRIBES", &spdx_id(package)))
        .collect();
    for node in &metadata.resolve.nodes {
        let Some(from) = ids.get(&*node.id) else { continue };
        let to = node.deps.iter().filter(|dependency| dependency.is_linked());
        let to = to.filter_map(|dependency| ids.get(&*dependency.pkg));
        relationships.extend(to.map(|to| relationship(from, "DEPENDS_ON", to)));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("steadfast-{VERSION}"),
        "documentNamespace": format!("{}/spdx/steadfast-{VERSION}", env!("CARGO_PKG_REPOSITORY")),
        "creationInfo": {"created": created, "creators": ["Tool: cargo-xtask-release"]},
        "packages": packages.iter().map(|package| described(package)).collect::<Vec<_>>(),
        "relationships": relationships,
    })
}

/// The ids of everything that the programs link.
fn linked(metadata: &Metadata) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (&*node.id, node)).collect();
    let programs = metadata
        .packages
        .iter()
        .filter(|package| PROGRAMS.contains(&&*package.name));
    let mut open: Vec<&str> = programs.map(|package| &*package.id).collect();
    let mut linked = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !linked.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).into_iter().flat_map(|node| &node.deps);
        open.extend(
            dependencies
                .filter(|dependency| dependency.is_linked())
                .map(|dependency| &*dependency.pkg),
        );
    }
    linked
}

impl Dependency {
    fn is_linked(&self) -> bool {
        self.dep_kinds.iter().any(|kind| kind.kind.is_none())
    }
}

fn described(package: &Package) -> Value {
    let license = package.license.as_deref().unwrap_or("NOASSERTION");
    let mut described = json!({
        "SPDXID": spdx_id(package),
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": package.source.as_deref().map_or("NOASSERTION", |source| {
            source.strip_prefix("registry+").unwrap_or(source)
        }),
        "filesAnalyzed": false,
        // Old crates write MIT/Apache-2.0 for MIT OR Apache-2.0.
        "licenseDeclared": license.replace('/', " OR "),
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    });
    if package.source.is_some() {
        described["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:cargo/{}@{}", package.name, package.version),
        }]);
    }
    described
}

/// Letters, digits, dots and hyphens only.
fn spdx_id(package: &Package) -> String {
    let text = format!("SPDXRef-{}-{}", package.name, package.version);
    text.replace(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.', "-")
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let package = |id: &str, source: Option<&str>| json!({"id": id, "name": id, "version": "1.0.0+x", "license": "MIT/Apache-2.0", "source": source});
        let dependency = |id: &str, kind: Option<&str>| json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        serde_json::from_value(json!({
            "packages": [
                package("steadfast", None),
                package("serde", Some("registry+https://registry.example")),
                package("insta", Some("registry+https://registry.example")),
                package("cc", Some("registry+https://registry.example")),
            ],
            "resolve": {"nodes": [
                {"id": "steadfast", "deps": [
                    dependency("serde", None), dependency("insta", Some("dev")), dependency("cc", Some("build")),
                ]},
                {"id": "serde", "deps": []},
                {"id": "insta", "deps": []},
                {"id": "cc", "deps": []},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_linked_is_listed_and_what_only_tests_or_builds_is_not() {
        let document = document(&metadata(), "2026-01-01T00:00:00Z");
        let packages = document["packages"].as_array().unwrap();
        let names: Vec<&str> = packages
            .iter()
            .map(|package| package["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["steadfast", "serde"]);
        assert_eq!(packages[1]["licenseDeclared"], "MIT OR Apache-2.0");
        assert_eq!(
            packages[1]["externalRefs"][0]["referenceLocator"],
            "pkg:cargo/serde@1.0.0+x"
        );
        assert_eq!(
            document["relationships"],
            json!([
                relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-steadfast-1.0.0-x"),
                relationship("SPDXRef-steadfast-1.0.0-x", "DEPENDS_ON", "SPDXRef-serde-1.0.0-x"),
            ])
        );
    }
}

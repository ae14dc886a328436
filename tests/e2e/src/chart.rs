//! The charts as Helm renders them, without a cluster.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use steadfast_crds::yaml;
use steadfast_testkit::{
    tools::{GoProgram, go_program},
    workspace,
};

/// The settings of the chart `steadfast` that have no default.
pub const REQUIRED: [&str; 3] = [
    "images.registry=localhost",
    "temporal.address=temporal:7233",
    "redis.url=redis://redis",
];

/// The directory of a chart.
#[must_use]
pub fn chart(name: &str) -> PathBuf {
    workspace::root().join("charts").join(name)
}

/// Runs Helm on a chart, with values as `--set` takes them.
#[must_use]
pub fn helm(arguments: &[&str], chart: &Path, settings: &[&str]) -> Output {
    let mut command = Command::new(go_program(GoProgram::Helm).unwrap());
    command.args(arguments).arg(chart);
    command.args(settings.iter().flat_map(|setting| ["--set", setting]));
    command.output().unwrap()
}

/// Renders the chart `steadfast` as the release `steadfast` in the namespace `default`.
#[must_use]
pub fn template(settings: &[&str]) -> Output {
    helm(
        &["template", "steadfast", "--kube-version=1.34"],
        &chart("steadfast"),
        settings,
    )
}

/// What the chart renders with these settings and the required ones.
#[must_use]
pub fn rendered(settings: &[&str]) -> String {
    let output = template(&[&REQUIRED[..], settings].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What Helm says against these settings, beside the required ones.
#[must_use]
pub fn refusal(settings: &[&str]) -> String {
    complaint(&template(&[&REQUIRED[..], settings].concat()))
}

/// What Helm says when it refuses.
#[must_use]
pub fn complaint(output: &Output) -> String {
    assert!(
        !output.status.success(),
        "helm accepted it: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The documents of a kind.
#[must_use]
pub fn documents(rendered: &str, kind: &str) -> Vec<Value> {
    let documents: Vec<Value> = yaml::documents(rendered).unwrap();
    documents
        .into_iter()
        .filter(|document| document["kind"] == kind)
        .collect()
}

/// The document of a kind and a name.
#[must_use]
pub fn named(rendered: &str, kind: &str, name: &str) -> Value {
    let documents = documents(rendered, kind);
    let found = documents.iter().find(|document| document["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}")).clone()
}

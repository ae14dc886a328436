//! `steadfast lint` as users and CI run it: on files, and on what Helm and
//! Kustomize render. What a cluster says of the same manifests is compared by
//! the operator's own tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use steadfast_testkit::{
    bad_manifests::{self, BadManifest, Verdict},
    install::Example,
    tools::{GoProgram, go_program},
};
use tempfile::TempDir;

/// What is said of one object: its kind and name, severity, condition, reason and message. The place is left out:
/// rendering moves lines.
type Said = BTreeSet<[String; 6]>;

/// Runs `steadfast lint` on standard input. Returns whether it succeeded, the number of objects, and what it said.
fn lint(manifests: &str) -> (bool, u64, Said) {
    let binaries = std::env::current_exe().unwrap();
    let binaries = binaries.parent().and_then(Path::parent).unwrap();
    let mut command = Command::new(binaries.join("steadfast"))
        .args(["lint", "--output", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Dropped at the end of the statement, and so closed.
    command.stdin.take().unwrap().write_all(manifests.as_bytes()).unwrap();
    let output = command.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let said = report["diagnostics"].as_array().unwrap().iter().map(|row| {
        let columns = ["kind", "name", "severity", "condition", "reason", "message"];
        columns.map(|name| text(row, name))
    });
    (
        output.status.success(),
        report["checked"].as_u64().unwrap(),
        said.collect(),
    )
}

/// What `helm template` makes of a chart with these manifests.
fn through_helm(manifests: &str) -> String {
    let chart = TempDir::new().unwrap();
    let write = |path: &str, text: &str| fs::write(chart.path().join(path), text).unwrap();
    fs::create_dir(chart.path().join("templates")).unwrap();
    write("Chart.yaml", "apiVersion: v2\nname: agents\nversion: 0.1.0\n");
    write("manifests.yaml", manifests);
    // Braces in the manifests are theirs, not the chart's.
    write("templates/all.yaml", r#"{{ .Files.Get "manifests.yaml" }}"#);
    let mut command = Command::new(go_program(GoProgram::Helm).unwrap());
    rendered(command.args(["template", "agents"]).arg(chart.path()))
}

/// What Kustomize makes of these manifests.
fn through_kustomize(manifests: &str) -> String {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("manifests.yaml"), manifests).unwrap();
    let kustomization = "resources: [manifests.yaml]\nlabels: [{pairs: {team: support}}]\n";
    fs::write(directory.path().join("kustomization.yaml"), kustomization).unwrap();
    let mut command = Command::new(go_program(GoProgram::Kubectl).unwrap());
    rendered(command.arg("kustomize").arg(directory.path()))
}

fn rendered(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The manifests of an example that are applied: other files beside them are fixtures.
fn manifests_of(example: &Example) -> String {
    let mut files: Vec<_> = fs::read_dir(example.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    texts.join("\n---\n")
}

#[test]
fn every_example_needs_its_secrets_only_also_through_helm_and_kustomize() {
    for example in Example::ALL {
        let manifests = manifests_of(&example);
        let (passes, checked, said) = lint(&manifests);
        assert!(passes && checked > 0, "{}: {said:#?}", example.name);
        let reasons: BTreeSet<&str> = said.iter().map(|[_, _, _, _, reason, _]| reason.as_str()).collect();
        assert!(
            reasons.iter().all(|reason| *reason == "SecretNotFound"),
            "{}: {said:#?}",
            example.name
        );
        for rendered in [through_helm(&manifests), through_kustomize(&manifests)] {
            assert_eq!(lint(&rendered), (passes, checked, said.clone()), "{}", example.name);
        }
    }
}

#[test]
fn what_is_wrong_with_a_manifest_is_said_also_through_helm_and_kustomize() {
    let bad = bad_manifests::all();
    let right = bad_manifests::unusual().into_iter().map(|(_, object)| object);
    let objects = bad_manifests::surroundings()
        .into_iter()
        .chain(right)
        .chain(bad.iter().map(|manifest| manifest.object.clone()));
    let documents: Vec<String> = objects.map(|object| format!("{object:#}")).collect();
    let manifests = documents.join("\n---\n") + "\n";

    let (passes, checked, said) = lint(&manifests);
    assert!(!passes);
    assert!(checked > 40, "{checked}");
    for manifest in &bad {
        assert!(is_said(manifest, &said), "{}: {said:#?}", manifest.name);
    }
    assert_eq!(lint(&through_helm(&manifests)), (passes, checked, said.clone()));
    assert_eq!(lint(&through_kustomize(&manifests)), (passes, checked, said));
}

fn is_said(manifest: &BadManifest, said: &Said) -> bool {
    let mut of_manifest = said
        .iter()
        .filter(|[kind, name, ..]| kind == manifest.kind && name == manifest.name);
    of_manifest.any(|[_, _, _, condition, reason, message]| match manifest.verdict {
        Verdict::Refused(text) => condition.is_empty() && message.contains(text),
        Verdict::Unmet(expected, why, start) => {
            condition == expected.as_str() && reason == why.as_str() && message.starts_with(start)
        }
    })
}

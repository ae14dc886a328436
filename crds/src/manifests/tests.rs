use tempfile::TempDir;

use super::*;
use crate::{Agent, AgentRevision};

const REVISION: &str = "apiVersion: steadfast.dev/v1alpha1
kind: AgentRevision
metadata: {name: weather-1, namespace: team}
spec: {agent: weather, sequence: 1, instructions: Answer., model: {name: m}, taskQueue: q}
";

fn revision(name: &str) -> String {
    REVISION.replace("weather-1", name)
}

/// `text` as an item of a YAML sequence.
fn item(text: &str) -> String {
    format!("- {}\n", text.trim_end().replace('\n', "\n  "))
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn names(directory: &TempDir) -> Vec<String> {
    let revisions: Vec<AgentRevision> = read_dir_of(directory.path()).unwrap();
    revisions
        .into_iter()
        .filter_map(|revision| revision.metadata.name)
        .collect()
}

/// The error and its causes, without the path of the directory.
fn failure(directory: &TempDir) -> String {
    let error = read_dir_of::<AgentRevision>(directory.path()).unwrap_err();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn a_file_may_hold_several_documents() {
    let text = format!("---\n{}---\n{}---\n", revision("weather-1"), revision("news-4"));
    assert_eq!(names(&directory(&[("both.yaml", &text)])), ["weather-1", "news-4"]);
}

#[test]
fn the_items_of_a_list_are_objects_of_their_own() {
    let items = item(&revision("weather-1")) + &item(&revision("news-4"));
    let list = format!("apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: \"\"}}\nitems:\n{items}");
    assert_eq!(names(&directory(&[("list.yaml", &list)])), ["weather-1", "news-4"]);
}

#[test]
fn the_items_of_a_typed_list_have_the_type_of_the_list() {
    let bare = revision("weather-1").lines().skip(2).collect::<Vec<_>>().join("\n");
    let list = format!(
        "apiVersion: steadfast.dev/v1alpha1\nkind: AgentRevisionList\nitems:\n{}",
        item(&bare)
    );
    assert_eq!(names(&directory(&[("list.yaml", &list)])), ["weather-1"]);
}

#[test]
fn every_manifest_file_is_read_in_the_order_of_names_and_nothing_else() {
    let directory = directory(&[
        ("c.yml", &revision("third-1")),
        ("a.yaml", &revision("first-1")),
        (
            "b.json",
            &serde_json::to_string(&yaml::from_str::<Value>(&revision("second-1")).unwrap()).unwrap(),
        ),
        ("empty.yaml", "---\n# nothing\n"),
        ("README.md", "not a manifest"),
        ("a.yaml.bak", "not a manifest"),
    ]);
    fs::create_dir(directory.path().join("directory.yaml")).unwrap();
    assert_eq!(names(&directory), ["first-1", "second-1", "third-1"]);
}

#[test]
fn an_error_names_the_file_and_the_line() {
    let good = revision("weather-1");
    let with = |text: &str| directory(&[("a.yaml", &format!("{good}---\n{text}"))]);
    assert!(failure(&with("a: [")).starts_with("a.yaml:6: not YAML that a Kubernetes object can be read from: "));
    assert!(failure(&with("kind: A\nkind: B\napiVersion: v1\n")).contains("duplicate mapping key: kind"));
    assert_eq!(
        failure(&with("just text")),
        "a.yaml:6: the document has no apiVersion or no kind; every document must be a Kubernetes object"
    );
    assert_eq!(
        failure(&with("apiVersion: v1\nkind: ConfigMap\n")),
        "a.yaml:6: the object is v1 ConfigMap; \
         this directory may hold steadfast.dev/v1alpha1 AgentRevision objects only"
    );
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n{}",
        item(&good.replace("sequence: 1", "sequence: x"))
    );
    assert_eq!(
        failure(&with(&list)),
        "a.yaml:9: the object cannot be read as AgentRevision: invalid type: string \"x\", expected i64"
    );
}

#[test]
fn every_value_has_a_line() {
    let text = "# A comment.\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: A\n  spec:\n    \
                a/b:\n    - x: 1\n    - {x: 2,\n       y: 3}\n";
    let manifests = parse(Path::new("a.yaml"), text).unwrap();
    let line = |pointer: &str| manifests[0].origin_of(pointer).line;
    assert_eq!(manifests[0].origin.to_string(), "a.yaml:5");
    assert_eq!(
        [line("/kind"), line("/spec/a~1b/0/x"), line("/spec/a~1b/1/y")],
        [6, 9, 11]
    );
    // What is missing stands where it would have to stand.
    assert_eq!([line("/spec/a~1b/1/z"), line("/status")], [10, 5]);
}

#[test]
fn a_directory_that_does_not_exist_is_an_error() {
    let error = read_dir(Path::new("/nonexistent")).unwrap_err();
    assert_eq!(error.to_string(), "list the directory /nonexistent");
}

#[test]
fn a_manifest_tells_its_type() {
    let manifests = parse(Path::new("a.yaml"), REVISION).unwrap();
    assert!(manifests[0].is::<AgentRevision>() && !manifests[0].is::<Agent>());
}

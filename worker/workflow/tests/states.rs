//! The states of every schema version are read, and passed on whole at continue-as-new. A file in
//! `tests/states/accepted` is never edited.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;
use steadfast_contract::start::StartTask;
use steadfast_workflow::{NoSink, task::Task};

#[path = "../../../tests/released/lost.rs"]
mod lost;
use lost::lost;

fn accepted() -> Vec<(String, Value)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/states/accepted");
    let files = std::fs::read_dir(directory).unwrap();
    let states: Vec<(String, Value)> = files
        .map(|file| {
            let path = file.unwrap().path();
            let state = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            (path.display().to_string(), state)
        })
        .collect();
    assert!(!states.is_empty(), "tests/states/accepted is empty");
    states
}

#[test]
fn a_state_of_any_version_is_read_whole() {
    for (name, state) in accepted() {
        let start: StartTask = serde_json::from_value(state.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = serde_json::to_value(start).unwrap();
        assert_eq!(lost(&state, &written, ""), None, "{name}");
    }
}

#[test]
fn a_state_of_any_version_is_passed_on_whole() {
    let mut passed_on = 0;
    for (name, mut state) in accepted() {
        let start: StartTask = serde_json::from_value(state.clone()).unwrap();
        let paged = start.state.as_ref().is_none_or(|carried| carried.pages.is_some());
        if paged {
            continue;
        }
        let task = Task::new(start, "run", Arc::new(NoSink), jiff::Timestamp::UNIX_EPOCH);
        let next = serde_json::to_value(task.continue_as_new().start).unwrap();
        // The next run is one of this release.
        state.as_object_mut().unwrap().remove("schema_version");
        assert_eq!(lost(&state, &next, ""), None, "{name}");
        passed_on += 1;
    }
    assert!(passed_on > 0, "no state was passed on");
}

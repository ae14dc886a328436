//! Histories recorded from a real server replay on the current workflow. A recorded
//! history is never edited; a change that breaks one needs `patched` code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{path::PathBuf, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use serde_json::{Value, json};
use steadfast_contract::{activities::Append, start::StartTask};
use steadfast_history::HistoryView;
use steadfast_payload::{Packed, pack, unpack_json};
use steadfast_workflow::{
    AgentTask, NoSink, activities::AppendEvents, activity_options, interceptor::ContextInterceptor,
};
use temporalio_client::WorkflowHistory;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions,
};
use temporalio_workflow::{WorkflowContext, WorkflowResult};

fn recorded() -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/histories");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "tests/histories is empty");
    files
}

fn read(path: &PathBuf) -> WorkflowHistory {
    parse(&std::fs::read_to_string(path).unwrap())
}

/// The SDK reads the attributes of an event as an enum without a tag. serde gives it a fraction as a map there
/// (serde-rs/json#1157), and a whole number as a number.
fn parse(text: &str) -> WorkflowHistory {
    let text = text.replace("\"backoffCoefficient\":2.0", "\"backoffCoefficient\":2");
    WorkflowHistory::from_json(text.as_bytes()).unwrap()
}

/// A payload in the form of a recorded history.
fn recorded_payload(content: &Value) -> Value {
    let payload = pack(content).unwrap();
    json!({
        "metadata": {"encoding": BASE64.encode(&payload.metadata["encoding"])},
        "data": BASE64.encode(&payload.data),
    })
}

/// A replayer that serves the task queue of a recorded history.
fn replayer(history: &[u8]) -> WorkflowReplayer {
    let history: Value = serde_json::from_slice(history).unwrap();
    let started = &history["events"][0]["attributes"]["WorkflowExecutionStartedEventAttributes"];
    let options = WorkflowReplayerOptions::new()
        .task_queue(started["task_queue"]["name"].as_str().unwrap().to_owned())
        .workflow_interceptor(ContextInterceptor::constructor())
        .register_workflow_with_factory::<AgentTask, _>(move || AgentTask::new(Arc::new(NoSink)))
        .unwrap()
        .build();
    WorkflowReplayer::new(options).unwrap()
}

#[tokio::test]
async fn recorded_histories_replay() {
    for path in recorded() {
        replayer(&std::fs::read(&path).unwrap())
            .replay_workflow(read(&path))
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// A failed workflow could not continue; a failed workflow task waits for a worker that can read the input.
#[tokio::test]
async fn an_unreadable_start_input_fails_the_workflow_task_with_the_reason() {
    let recorded = std::fs::read(&recorded()[0]).unwrap();
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/states/refused");
    let mut refused = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut history: Value = serde_json::from_slice(&recorded).unwrap();
        let started = &mut history["events"][0]["attributes"]["WorkflowExecutionStartedEventAttributes"];
        started["input"]["payloads"] = json!([recorded_payload(&state["start"])]);
        let history = parse(&history.to_string());
        let Err(WorkflowReplayError::Replay(WorkflowReplayFailure::WorkflowTaskFailure { message })) =
            replayer(&recorded).replay_workflow(history).await
        else {
            panic!("{} was not refused", path.display());
        };
        let reason = state["refused_with"].as_str().unwrap();
        assert!(message.contains(reason), "{}: {message}", path.display());
        refused += 1;
    }
    assert!(refused > 0, "tests/states/refused is empty");
}

/// Starts with the last activity of the real workflow.
#[workflow]
#[derive(Default)]
struct Reordered;

#[workflow_methods]
impl Reordered {
    #[run(name = "AgentTask")]
    async fn run(ctx: &mut WorkflowContext<Self>, _: Packed<StartTask>) -> WorkflowResult<()> {
        let appended = ctx.execute_activity(
            AppendEvents,
            Packed(Append::default()),
            activity_options::append_events(),
        );
        drop(appended.await);
        Ok(())
    }
}

#[tokio::test]
async fn a_reordered_workflow_does_not_replay() {
    let options = WorkflowReplayerOptions::new()
        .workflow_interceptor(ContextInterceptor::constructor())
        .register_workflow::<Reordered>()
        .unwrap()
        .build();
    let replayer = WorkflowReplayer::new(options).unwrap();
    for path in recorded() {
        let Err(WorkflowReplayError::Replay(failure)) = replayer.replay_workflow(read(&path)).await else {
            panic!("{} replayed on a reordered workflow", path.display());
        };
        assert!(
            matches!(
                failure,
                WorkflowReplayFailure::Nondeterminism { .. } | WorkflowReplayFailure::WorkflowTaskFailure { .. }
            ),
            "{failure:?}"
        );
    }
}

/// Activities record the results of validation. A workflow that validated again would decide otherwise on these
/// histories, in which every tool refuses all arguments.
#[tokio::test]
async fn a_schema_that_refuses_all_arguments_breaks_no_replay() {
    let mut schemas = 0;
    for path in recorded() {
        let recorded = std::fs::read(&path).unwrap();
        let mut history: Value = serde_json::from_slice(&recorded).unwrap();
        schemas += refuse_everything_in(&mut history);
        let history = parse(&history.to_string());
        replayer(&recorded)
            .replay_workflow(history)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    assert!(schemas > 0, "no history has a tool");
}

/// Replaces the schemas in all payloads of a history; returns their number.
fn refuse_everything_in(history: &mut Value) -> usize {
    match history {
        Value::Object(object) => {
            if let (Some(encoding), Some(Value::String(data))) = (
                object.get("metadata").map(|metadata| &metadata["encoding"]),
                object.get("data"),
            ) {
                let payload = Payload {
                    metadata: [(
                        "encoding".to_owned(),
                        BASE64.decode(encoding.as_str().unwrap()).unwrap(),
                    )]
                    .into(),
                    data: BASE64.decode(data).unwrap(),
                    ..Payload::default()
                };
                let mut content: Value = serde_json::from_slice(&unpack_json(&payload).unwrap()).unwrap();
                let schemas = refuse_everything(&mut content);
                if schemas > 0 {
                    let mut changed = recorded_payload(&content);
                    for name in ["metadata", "data"] {
                        object[name] = changed[name].take();
                    }
                }
                return schemas;
            }
            object.values_mut().map(refuse_everything_in).sum()
        }
        Value::Array(values) => values.iter_mut().map(refuse_everything_in).sum(),
        _ => 0,
    }
}

/// Replaces the schemas in the value of a payload.
fn refuse_everything(value: &mut Value) -> usize {
    match value {
        Value::Object(object) => {
            let mut schemas = 0;
            for (name, value) in object {
                if matches!(name.as_str(), "parameters" | "form") && value["type"] == "object" {
                    *value = json!({"not": {}});
                    schemas += 1;
                } else {
                    schemas += refuse_everything(value);
                }
            }
            schemas
        }
        Value::Array(values) => values.iter_mut().map(refuse_everything).sum(),
        _ => 0,
    }
}

#[tokio::test]
async fn recorded_histories_project_to_the_messages_that_people_saw() {
    for path in recorded() {
        let events = read(&path).into_events().await.unwrap();
        let view = HistoryView::read(&events).unwrap();
        let task_id = view.start.unwrap().task_id;
        let messages = steadfast_history::messages(&task_id, &events).unwrap();
        let expected = std::fs::read_to_string(path.with_extension("messages")).unwrap();
        let lines: Vec<String> = messages
            .iter()
            .map(|message| format!("{} {}", message.id, serde_json::to_string(&message.content).unwrap()))
            .collect();
        assert_eq!(lines.join("\n"), expected.trim_end(), "{}", path.display());
    }
}

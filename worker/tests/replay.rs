//! Histories recorded from a real server replay on today's workflow. A recorded
//! history is never edited; a change that breaks one needs `patched` code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{path::PathBuf, sync::Arc};

use steadfast_workflow::{
    AgentTask,
    activities::{Append, AppendEvents},
    contract::StartTask,
    history::HistoryView,
    interceptor::ContextInterceptor,
    options,
    packed::Packed,
    project,
    store::SegmentStore,
};
use temporalio_client::WorkflowHistory;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions,
};
use temporalio_workflow::{WorkflowContext, WorkflowResult};

fn recorded() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/histories");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "tests/histories is empty");
    files
}

fn read(path: &PathBuf) -> WorkflowHistory {
    WorkflowHistory::from_json(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn recorded_histories_replay() {
    let store = Arc::new(SegmentStore::default());
    let options = WorkflowReplayerOptions::new()
        .workflow_interceptor(ContextInterceptor::constructor())
        .register_workflow_with_factory::<AgentTask, _>(move || AgentTask::new(store.clone()))
        .unwrap()
        .build();
    let replayer = WorkflowReplayer::new(options).unwrap();
    for path in recorded() {
        replayer
            .replay_workflow(read(&path))
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// Does what the real one does last first.
#[workflow]
#[derive(Default)]
struct Reordered;

#[workflow_methods]
impl Reordered {
    #[run(name = "AgentTask")]
    async fn run(ctx: &mut WorkflowContext<Self>, _: Packed<StartTask>) -> WorkflowResult<()> {
        let appended = ctx.execute_activity(AppendEvents, Packed(Append::default()), options::append_events());
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

#[tokio::test]
async fn recorded_histories_project_to_the_messages_that_were_seen() {
    for path in recorded() {
        let events = read(&path).into_events().await.unwrap();
        let view = HistoryView::read(&events).unwrap();
        let task_id = view.start.unwrap().task_id;
        let messages = project::messages(&task_id, &events).unwrap();
        let expected = std::fs::read_to_string(path.with_extension("messages")).unwrap();
        let lines: Vec<String> = messages
            .iter()
            .map(|message| format!("{} {}", message.id, serde_json::to_string(&message.content).unwrap()))
            .collect();
        assert_eq!(lines.join("\n"), expected.trim_end(), "{}", path.display());
    }
}

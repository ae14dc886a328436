//! Reads what activities need from the history of a run: the transcript, the
//! arguments of a call, the revision of the turn. Uses the cache of the process
//! first, then the server.

use std::sync::Arc;

use serde_json::Value;
use steadfast_agent_loop::{Segment, SegmentRef};
use steadfast_contract::{
    activities::{NewSegment, Revision},
    start::StartTask,
};
use steadfast_history::{HistoryView, ReadHistoryError};
use temporalio_common::UntypedWorkflow;
use temporalio_sdk::activities::ActivityContext;

use super::segments::SegmentCache;
use crate::{
    failure::{ActivityFailure, CallFailure},
    fetch_history::{fetch_history, not_found, run_of},
    task_context::TaskContext,
};

/// How many earlier runs are searched for a segment.
const SEARCHED_RUNS: usize = 20;

/// The history of the run that an activity belongs to.
pub(crate) struct RunHistory<'a> {
    store: &'a SegmentCache,
    activity: &'a ActivityContext,
    context: &'a TaskContext,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RunHistoryError {
    #[error("the activity belongs to no workflow")]
    NoWorkflow,
    #[error("fetch the history of the run: {0}")]
    Fetch(String),
    #[error("read the history of the run")]
    Read(#[from] ReadHistoryError),
    #[error("the history of the run does not hold {what}")]
    Missing { what: String },
}

impl<'a> RunHistory<'a> {
    pub(crate) fn new(store: &'a SegmentCache, activity: &'a ActivityContext, context: &'a TaskContext) -> Self {
        Self {
            store,
            activity,
            context,
        }
    }

    /// The transcript of a model call.
    pub(crate) async fn transcript(&self, base: u32, new: &[NewSegment]) -> Result<Vec<Arc<Segment>>, RunHistoryError> {
        if let Some(transcript) = self.store.transcript(&self.context.run_id, base, new) {
            return Ok(transcript);
        }
        self.read_history().await?;
        self.store
            .transcript(&self.context.run_id, base, new)
            .ok_or_else(|| RunHistoryError::Missing {
                what: format!("all of the transcript ({base} + {new:?})"),
            })
    }

    pub(crate) async fn segment(&self, reference: &SegmentRef) -> Result<Arc<Segment>, RunHistoryError> {
        if let Some(segment) = self.store.segment(&self.context.run_id, reference) {
            return Ok(segment);
        }
        self.read_history().await?;
        self.store
            .segment(&self.context.run_id, reference)
            .ok_or_else(|| RunHistoryError::Missing {
                what: format!("the segment {reference:?}"),
            })
    }

    /// A segment of this run, or of an earlier one: a summary takes segments out of the transcript that the next run
    /// begins with. `None` if no history that is left has it.
    pub(crate) async fn segment_of_any_run(
        &self,
        reference: &SegmentRef,
    ) -> Result<Option<Arc<Segment>>, RunHistoryError> {
        match self.segment(reference).await {
            Err(RunHistoryError::Missing { .. }) => {}
            found => return found.map(Some),
        }
        let mut run_before = self.store.run_before(&self.context.run_id);
        for _ in 0..SEARCHED_RUNS {
            let Some(run_id) = run_before.filter(|run_id| !run_id.is_empty()) else {
                break;
            };
            if let Some(segment) = self.store.segment(&run_id, reference) {
                return Ok(Some(segment));
            }
            let events = match fetch_history(&run_of(self.activity, &run_id)).await {
                Ok(events) => events,
                Err(error) if not_found(&error).is_some() => break,
                Err(error) => return Err(RunHistoryError::Fetch(error.to_string())),
            };
            let view = HistoryView::read(&events)?;
            let segment = view.segments.get(reference).cloned().map(Arc::new);
            run_before = Some(view.run_before.clone());
            self.store.fill(&run_id, view);
            if segment.is_some() {
                return Ok(segment);
            }
        }
        Ok(None)
    }

    /// The result of a step of a `steps` tool, by its activity id.
    pub(crate) async fn step(&self, activity_id: &str) -> Result<Arc<Value>, RunHistoryError> {
        if let Some(result) = self.store.step(&self.context.run_id, activity_id) {
            return Ok(result);
        }
        self.read_history().await?;
        self.store
            .step(&self.context.run_id, activity_id)
            .ok_or_else(|| RunHistoryError::Missing {
                what: format!("the result of {activity_id}"),
            })
    }

    pub(crate) async fn revision(&self, name: &str) -> Result<Arc<Revision>, RunHistoryError> {
        if let Some(revision) = self.store.revision(&self.context.run_id, name) {
            return Ok(revision);
        }
        self.read_history().await?;
        self.store
            .revision(&self.context.run_id, name)
            .ok_or_else(|| RunHistoryError::Missing {
                what: format!("the revision {name:?}"),
            })
    }

    /// The start input of the run, without the state that it continues from.
    pub(crate) async fn start(&self) -> Result<Arc<StartTask>, RunHistoryError> {
        if let Some(start) = self.store.start(&self.context.run_id) {
            return Ok(start);
        }
        self.read_history().await?;
        self.store
            .start(&self.context.run_id)
            .ok_or_else(|| RunHistoryError::Missing {
                what: "the start of the task".to_owned(),
            })
    }

    async fn read_history(&self) -> Result<(), RunHistoryError> {
        let handle = self
            .activity
            .workflow_handle::<UntypedWorkflow>()
            .ok_or(RunHistoryError::NoWorkflow)?;
        let events = fetch_history(&handle)
            .await
            .map_err(|error| RunHistoryError::Fetch(error.to_string()))?;
        tracing::debug!(task_id = %self.context.task_id, events = events.len(), "history of the run read from the server");
        self.store.fill(&self.context.run_id, HistoryView::read(&events)?);
        Ok(())
    }
}

impl From<RunHistoryError> for CallFailure {
    fn from(error: RunHistoryError) -> Self {
        Self::transient_error("history_unavailable", &error)
    }
}

impl From<RunHistoryError> for ActivityFailure {
    fn from(error: RunHistoryError) -> Self {
        Self::Failed(error.into())
    }
}

//! What the activities need of a run's history: the transcript, the arguments of
//! a call, the revision of the turn. First from the process, else from the server.

use std::sync::Arc;

use steadfast_agent_loop::{Segment, SegmentRef};
use steadfast_contract::{
    activities::{NewSegment, Revision},
    start::StartTask,
};
use steadfast_history::{HistoryView, ReadHistoryError};
use temporalio_client::WorkflowFetchHistoryOptions;
use temporalio_common::UntypedWorkflow;
use temporalio_sdk::activities::ActivityContext;

use crate::{context::TaskContext, segment_cache::SegmentCache};

/// Reads for one activity.
pub struct Known<'a> {
    store: &'a SegmentCache,
    activity: &'a ActivityContext,
    context: &'a TaskContext,
}

#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    #[error("the activity belongs to no workflow")]
    NoWorkflow,
    #[error("fetch the history of the run: {0}")]
    Fetch(String),
    #[error("read the history of the run")]
    Read(#[from] ReadHistoryError),
    #[error("the history of the run does not hold {what}")]
    Missing { what: String },
}

impl<'a> Known<'a> {
    pub fn new(store: &'a SegmentCache, activity: &'a ActivityContext, context: &'a TaskContext) -> Self {
        Self {
            store,
            activity,
            context,
        }
    }

    /// The transcript of a model call.
    pub async fn transcript(&self, base: u32, new: &[NewSegment]) -> Result<Vec<Arc<Segment>>, KnownError> {
        if let Some(transcript) = self.store.transcript(&self.context.run_id, base, new) {
            return Ok(transcript);
        }
        self.read_history().await?;
        self.store
            .transcript(&self.context.run_id, base, new)
            .ok_or_else(|| KnownError::Missing {
                what: format!("all of the transcript ({base} + {new:?})"),
            })
    }

    pub async fn segment(&self, reference: &SegmentRef) -> Result<Arc<Segment>, KnownError> {
        if let Some(segment) = self.store.segment(&self.context.run_id, reference) {
            return Ok(segment);
        }
        self.read_history().await?;
        self.store
            .segment(&self.context.run_id, reference)
            .ok_or_else(|| KnownError::Missing {
                what: format!("the segment {reference:?}"),
            })
    }

    pub async fn revision(&self, name: &str) -> Result<Arc<Revision>, KnownError> {
        if let Some(revision) = self.store.revision(&self.context.run_id, name) {
            return Ok(revision);
        }
        self.read_history().await?;
        self.store
            .revision(&self.context.run_id, name)
            .ok_or_else(|| KnownError::Missing {
                what: format!("the revision {name:?}"),
            })
    }

    /// How the task was started, without what it carries.
    pub async fn start(&self) -> Result<Arc<StartTask>, KnownError> {
        if let Some(start) = self.store.start(&self.context.run_id) {
            return Ok(start);
        }
        self.read_history().await?;
        self.store
            .start(&self.context.run_id)
            .ok_or_else(|| KnownError::Missing {
                what: "the start of the task".to_owned(),
            })
    }

    async fn read_history(&self) -> Result<(), KnownError> {
        let handle = self
            .activity
            .workflow_handle::<UntypedWorkflow>()
            .ok_or(KnownError::NoWorkflow)?;
        let events = handle
            .fetch_history(WorkflowFetchHistoryOptions::default())
            .into_events()
            .await
            .map_err(|error| KnownError::Fetch(error.to_string()))?;
        tracing::debug!(task_id = %self.context.task_id, events = events.len(), "read the history of the run");
        self.store.fill(&self.context.run_id, HistoryView::read(&events)?);
        Ok(())
    }
}

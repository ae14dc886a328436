//! A task as Temporal describes it: whose it is, of which agent, in which state. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use steadfast_workflow::{
    contract::{MEMO_AGENT, MEMO_CREATOR, MEMO_METADATA, MEMO_NAME, WORKFLOW_TYPE},
    packed::unpack,
};
use temporalio_common::protos::temporal::api::{
    common::v1::Payload, enums::v1::WorkflowExecutionStatus, workflow::v1::WorkflowExecutionInfo,
    workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use crate::{
    directory::AgentName,
    wire::{self, TaskStatus},
};

#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    pub id: String,
    /// The newest run of its workflow.
    pub run_id: String,
    pub agent: AgentName,
    /// Empty when anonymous.
    pub creator: String,
    pub name: Option<String>,
    pub metadata: Option<Value>,
    pub status: TaskStatus,
    pub task_queue: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl TaskRecord {
    /// Reads a description; `None` for a workflow that is no task of ours.
    pub fn read(description: DescribeWorkflowExecutionResponse) -> Option<Self> {
        let began = description
            .workflow_extended_info
            .and_then(|extended| extended.original_start_time);
        let mut record = Self::of_info(description.workflow_execution_info?)?;
        if let Some(began) = began.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()) {
            record.created_at = began;
        }
        Some(record)
    }

    /// Reads an entry of a list; it knows the beginning of the newest run only.
    pub fn of_info(info: WorkflowExecutionInfo) -> Option<Self> {
        if info.r#type.as_ref()?.name != WORKFLOW_TYPE {
            return None;
        }
        let status = status(info.status());
        let execution = info.execution?;
        let memo = info.memo?.fields;
        let began = info
            .start_time
            .and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
        let ended = info
            .close_time
            .and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
        let created_at = began.unwrap_or(Timestamp::UNIX_EPOCH);
        Some(Self {
            id: execution.workflow_id,
            run_id: execution.run_id,
            agent: AgentName::parse(&field::<String>(&memo, MEMO_AGENT)?)?,
            creator: field(&memo, MEMO_CREATOR).unwrap_or_default(),
            name: field(&memo, MEMO_NAME),
            metadata: field(&memo, MEMO_METADATA),
            status,
            task_queue: info.task_queue,
            created_at,
            updated_at: ended.unwrap_or(created_at),
        })
    }

    /// Agentex's task. `params` are not part of a description.
    pub fn to_wire(&self, params: Option<Value>) -> wire::Task {
        wire::Task {
            id: self.id.clone(),
            name: self.name.clone(),
            status: self.status,
            status_reason: None,
            created_at: self.created_at,
            updated_at: self.updated_at,
            cleaned_at: None,
            params,
            task_metadata: self.metadata.clone(),
        }
    }
}

type MemoFields = HashMap<String, Payload>;

fn field<T: DeserializeOwned>(memo: &MemoFields, name: &str) -> Option<T> {
    unpack(memo.get(name)?).ok()
}

fn status(status: WorkflowExecutionStatus) -> TaskStatus {
    match status {
        WorkflowExecutionStatus::Completed => TaskStatus::Completed,
        WorkflowExecutionStatus::Failed => TaskStatus::Failed,
        WorkflowExecutionStatus::Canceled => TaskStatus::Canceled,
        WorkflowExecutionStatus::Terminated => TaskStatus::Terminated,
        WorkflowExecutionStatus::TimedOut => TaskStatus::TimedOut,
        // A run that handed over to the next one is still the same running task.
        WorkflowExecutionStatus::Running
        | WorkflowExecutionStatus::ContinuedAsNew
        | WorkflowExecutionStatus::Paused
        | WorkflowExecutionStatus::Unspecified => TaskStatus::Running,
    }
}

//! A task as Temporal describes it: whose it is, of which agent, in which state. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use steadfast_contract::{
    start::WORKFLOW_TYPE,
    visibility::{MEMO_AGENT, MEMO_APPROVALS, MEMO_CREATOR, MEMO_METADATA, MEMO_NAME},
};
use steadfast_events::Approval;
use steadfast_payload::unpack;
use temporalio_common::protos::temporal::api::{
    common::v1::Payload,
    enums::v1::WorkflowExecutionStatus,
    failure::v1::failure::FailureInfo,
    history::v1::{HistoryEvent, history_event::Attributes},
    workflow::v1::WorkflowExecutionInfo,
    workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use crate::{
    directory::AgentName,
    wire::{self, TaskStatus},
};

/// Failure type of a workflow that ended its task at the task's time limit.
const TASK_TIMED_OUT: &str = "TaskTimedOut";

#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    pub id: String,
    /// The task whose log shows what this one does; another when an agent works as another's tool.
    pub log_id: String,
    /// The newest run of its workflow.
    pub run_id: String,
    pub agent: AgentName,
    /// Empty when anonymous.
    pub creator: String,
    pub name: Option<String>,
    pub metadata: Option<Value>,
    pub status: TaskStatus,
    pub task_queue: String,
    /// What people are asked; their arguments may be cut.
    pub approvals: Vec<Approval>,
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
        let root = info.parent_execution.and(info.root_execution);
        Some(Self {
            log_id: root.map_or_else(|| execution.workflow_id.clone(), |root| root.workflow_id),
            id: execution.workflow_id,
            run_id: execution.run_id,
            agent: AgentName::parse(&field::<String>(&memo, MEMO_AGENT)?)?,
            creator: field(&memo, MEMO_CREATOR).unwrap_or_default(),
            name: field(&memo, MEMO_NAME),
            metadata: field(&memo, MEMO_METADATA),
            status,
            // The memo of a task that has ended still lists what it asked last.
            approvals: if status.is_terminal() {
                Vec::new()
            } else {
                approvals(&memo)
            },
            task_queue: info.task_queue,
            created_at,
            updated_at: ended.unwrap_or(created_at),
        })
    }

    /// Whether it works for another task, which is the one that people see.
    pub fn is_nested(&self) -> bool {
        self.log_id != self.id
    }

    /// What people are asked under this id.
    pub fn approval(&self, id: &str) -> Option<&Approval> {
        self.approvals.iter().find(|approval| approval.id == id)
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

/// One that this version cannot read does not hide the others.
fn approvals(memo: &MemoFields) -> Vec<Approval> {
    let listed: Vec<Value> = field(memo, MEMO_APPROVALS).unwrap_or_default();
    listed
        .into_iter()
        .filter_map(|approval| serde_json::from_value(approval).ok())
        .collect()
}

/// Why the last event of a history says that the task ran out of time, if it does.
pub fn ran_out_of_time(last: &HistoryEvent) -> Option<String> {
    let Some(Attributes::WorkflowExecutionFailedEventAttributes(failed)) = &last.attributes else {
        return None;
    };
    let failure = failed.failure.as_ref()?;
    match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) if info.r#type == TASK_TIMED_OUT => {
            Some(failure.message.clone())
        }
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;
    use steadfast_payload::pack;
    use temporalio_common::protos::temporal::api::{
        common::v1::{Memo, WorkflowExecution, WorkflowType},
        failure::v1::{ApplicationFailureInfo, Failure},
        history::v1::WorkflowExecutionFailedEventAttributes,
    };

    use super::*;

    fn execution(id: &str) -> WorkflowExecution {
        WorkflowExecution {
            workflow_id: id.to_owned(),
            run_id: "run".to_owned(),
        }
    }

    fn info(approvals: &Value) -> WorkflowExecutionInfo {
        let fields = [
            (MEMO_AGENT.to_owned(), pack(&"default/haiku").unwrap()),
            (MEMO_APPROVALS.to_owned(), pack(approvals).unwrap()),
        ];
        WorkflowExecutionInfo {
            execution: Some(execution("t")),
            r#type: Some(WorkflowType {
                name: WORKFLOW_TYPE.to_owned(),
            }),
            status: WorkflowExecutionStatus::Running.into(),
            memo: Some(Memo { fields: fields.into() }),
            ..Default::default()
        }
    }

    fn asked(id: &str, kind: &str) -> Value {
        json!({
            "id": id, "kind": kind, "agent": "haiku", "turn": 1, "tool": "pay", "tool_call_id": "c",
            "arguments": {"amount": 1}, "requested_at": "2026-11-23T00:00:00Z",
        })
    }

    #[test]
    fn an_approval_of_a_newer_version_does_not_hide_the_others() {
        let task = TaskRecord::of_info(info(&json!([
            asked("t.1.0.0", "riddle"),
            asked("t.1.0.1", "tool_call")
        ])))
        .unwrap();
        let ids: Vec<&str> = task.approvals.iter().map(|approval| approval.id.as_str()).collect();
        assert_eq!(ids, ["t.1.0.1"]);
    }

    #[test]
    fn a_task_that_has_ended_asks_nobody() {
        let mut info = info(&json!([asked("t.1.0.0", "tool_call")]));
        info.status = WorkflowExecutionStatus::Canceled.into();
        assert_eq!(TaskRecord::of_info(info).unwrap().approvals, []);
    }

    #[test]
    fn a_task_that_works_for_another_is_shown_in_the_log_of_the_first() {
        let mut nested = info(&json!([]));
        nested.root_execution = Some(execution("root"));
        assert_eq!(TaskRecord::of_info(nested.clone()).unwrap().log_id, "t");
        nested.parent_execution = Some(execution("between"));
        let task = TaskRecord::of_info(nested).unwrap();
        assert_eq!((task.log_id.as_str(), task.is_nested()), ("root", true));
    }

    #[test]
    fn only_a_failure_of_its_own_type_says_that_the_time_ran_out() {
        let failed = |kind: &str| HistoryEvent {
            attributes: Some(Attributes::WorkflowExecutionFailedEventAttributes(
                WorkflowExecutionFailedEventAttributes {
                    failure: Some(Failure {
                        message: "the task took longer than 1h".to_owned(),
                        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
                            r#type: kind.to_owned(),
                            ..Default::default()
                        })),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
            )),
            ..Default::default()
        };
        assert_eq!(
            ran_out_of_time(&failed(TASK_TIMED_OUT)).as_deref(),
            Some("the task took longer than 1h")
        );
        assert_eq!(ran_out_of_time(&failed("Other")), None);
        assert_eq!(ran_out_of_time(&HistoryEvent::default()), None);
    }
}

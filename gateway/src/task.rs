//! A task as Temporal describes it: its creator, its agent and its status. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use steadfast_contract::{
    failures::TASK_TIMED_OUT,
    start::WORKFLOW_TYPE,
    visibility::{
        MEMO_AGENT, MEMO_APPROVALS, MEMO_CREATOR, MEMO_LOG, MEMO_METADATA, MEMO_NAME, MEMO_QUEUE_FULL, MEMO_TRACE,
    },
};
use steadfast_events::{Approval, LogId};
use steadfast_payload::{UnpackError, failure_message, unpack};
use steadfast_process::trace_context::trace_id_of;
use temporalio_common::protos::temporal::api::{
    common::v1::Payload,
    enums::v1::WorkflowExecutionStatus,
    failure::v1::failure::FailureInfo,
    history::v1::{HistoryEvent, history_event::Attributes},
    workflow::v1::WorkflowExecutionInfo,
    workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use crate::{
    agentex::wire::{self, TaskStatus},
    agents::AgentName,
};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskRecord {
    pub(crate) id: String,
    /// The first run of its workflow; empty in a list, which does not tell it.
    pub(crate) first_run_id: String,
    /// The log that has the events of this task: that of another task where the agent works as
    /// a tool of another agent.
    pub(crate) log: LogId,
    /// The newest run of its workflow.
    pub(crate) run_id: String,
    pub(crate) agent: AgentName,
    /// Name of the user; empty when anonymous.
    pub(crate) creator: String,
    pub(crate) name: Option<String>,
    pub(crate) metadata: Option<Value>,
    /// The trace id that the client gave.
    pub(crate) client_trace_id: Option<String>,
    pub(crate) status: TaskStatus,
    pub(crate) task_queue: String,
    /// Size and length of the history of the newest run.
    pub(crate) history_bytes: u64,
    pub(crate) history_events: u64,
    /// The task takes no more messages until one of those that wait has its turn.
    pub(crate) is_queue_full: bool,
    /// The pending approvals; their arguments may be cut.
    pub(crate) approvals: Vec<Approval>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl TaskRecord {
    /// Reads a description; `None` for a workflow of another type.
    pub(crate) fn read(description: DescribeWorkflowExecutionResponse) -> Option<Self> {
        let began = description
            .workflow_extended_info
            .and_then(|extended| extended.original_start_time);
        let mut record = Self::of_info(description.workflow_execution_info?)?;
        if let Some(began) = began.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()) {
            record.created_at = began;
        }
        Some(record)
    }

    /// Why a description cannot be read, where its encryption is the reason.
    pub(crate) fn undecryptable(description: &DescribeWorkflowExecutionResponse) -> Option<UnpackError> {
        let memo = description.workflow_execution_info.as_ref()?.memo.as_ref()?;
        match unpack::<Value>(memo.fields.get(MEMO_AGENT)?) {
            Err(error @ UnpackError::Encrypted { .. }) => Some(error),
            _ => None,
        }
    }

    /// Reads an entry of a list, which has the start time of the newest run only.
    pub(crate) fn of_info(info: WorkflowExecutionInfo) -> Option<Self> {
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
        let log = field(&memo, MEMO_LOG).unwrap_or_else(|| LogId::new(&execution.workflow_id, &info.first_run_id));
        Some(Self {
            log,
            id: execution.workflow_id,
            first_run_id: info.first_run_id,
            run_id: execution.run_id,
            agent: AgentName::parse(&field::<String>(&memo, MEMO_AGENT)?)?,
            creator: field(&memo, MEMO_CREATOR).unwrap_or_default(),
            name: field(&memo, MEMO_NAME),
            metadata: field(&memo, MEMO_METADATA),
            client_trace_id: field(&memo, MEMO_TRACE),
            status,
            // The memo of a task that has ended still lists its last approvals.
            approvals: if status.is_terminal() {
                Vec::new()
            } else {
                approvals(&memo)
            },
            task_queue: info.task_queue,
            history_bytes: info.history_size_bytes.try_into().unwrap_or_default(),
            history_events: info.history_length.try_into().unwrap_or_default(),
            is_queue_full: field(&memo, MEMO_QUEUE_FULL).unwrap_or_default(),
            created_at,
            updated_at: ended.unwrap_or(created_at),
        })
    }

    /// Whether the task works as a tool of another task.
    pub(crate) fn is_nested(&self) -> bool {
        self.log.task_id != self.id
    }

    /// The trace of its turns; `None` for a task whose spans are in the trace of the task that asks it.
    pub(crate) fn trace_id(&self) -> Option<String> {
        if self.is_nested() {
            return None;
        }
        let named = self.client_trace_id.as_deref().unwrap_or(&self.id);
        Some(trace_id_of(named).to_string())
    }

    /// The log of this task alone: it stays empty where another task's log has the events.
    pub(crate) fn own_log(&self) -> LogId {
        LogId::new(&self.id, &self.first_run_id)
    }

    /// Whether both are the same task, and not two that had the same id one after the other.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.own_log() == other.own_log()
    }

    /// The pending approval with this id.
    pub(crate) fn approval(&self, id: &str) -> Option<&Approval> {
        self.approvals.iter().find(|approval| approval.id == id)
    }

    /// The task as Agentex shows it. A description does not contain `params`.
    pub(crate) fn to_wire(&self, params: Option<Value>) -> wire::Task {
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

/// The pending approvals; one that this version cannot read is left out.
fn approvals(memo: &MemoFields) -> Vec<Approval> {
    let listed: Vec<Value> = field(memo, MEMO_APPROVALS).unwrap_or_default();
    listed
        .into_iter()
        .filter_map(|approval| serde_json::from_value(approval).ok())
        .collect()
}

/// The message of a task that failed at its time limit, from the last event of its history.
pub(crate) fn timed_out(last: &HistoryEvent) -> Option<String> {
    let Some(Attributes::WorkflowExecutionFailedEventAttributes(failed)) = &last.attributes else {
        return None;
    };
    let failure = failed.failure.as_ref()?;
    match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) if info.r#type == TASK_TIMED_OUT => {
            Some(failure_message(failure).into_owned())
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
        // The next run continues the same task.
        WorkflowExecutionStatus::Running
        | WorkflowExecutionStatus::ContinuedAsNew
        | WorkflowExecutionStatus::Paused
        | WorkflowExecutionStatus::Unspecified => TaskStatus::Running,
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A running task of the agent `default/haiku`.
    pub(crate) fn task() -> TaskRecord {
        TaskRecord {
            id: "t".to_owned(),
            first_run_id: "run".to_owned(),
            log: LogId::new("t", "run"),
            run_id: "run".to_owned(),
            agent: AgentName::new("default", "haiku"),
            creator: String::new(),
            name: None,
            metadata: None,
            client_trace_id: None,
            status: TaskStatus::Running,
            task_queue: "test/default/agent/haiku".to_owned(),
            history_bytes: 0,
            history_events: 0,
            is_queue_full: false,
            approvals: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_task_whose_key_is_missing_is_known_by_its_memo() {
        let mut info = info(&json!([]));
        let described = |info: &WorkflowExecutionInfo| DescribeWorkflowExecutionResponse {
            workflow_execution_info: Some(info.clone()),
            ..Default::default()
        };
        assert!(TaskRecord::undecryptable(&described(&info)).is_none());
        let encrypted = Payload {
            metadata: [
                ("encoding".to_owned(), b"binary/encrypted".to_vec()),
                ("encryption-key-id".to_owned(), b"lost".to_vec()),
            ]
            .into(),
            ..Default::default()
        };
        info.memo
            .as_mut()
            .unwrap()
            .fields
            .insert(MEMO_AGENT.to_owned(), encrypted);
        let error = TaskRecord::undecryptable(&described(&info)).unwrap().to_string();
        assert!(error.contains("\"lost\""), "{error}");
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
            asked("t.run.1.0.0", "riddle"),
            asked("t.run.1.0.1", "tool_call")
        ])))
        .unwrap();
        let ids: Vec<&str> = task.approvals.iter().map(|approval| approval.id.as_str()).collect();
        assert_eq!(ids, ["t.run.1.0.1"]);
    }

    #[test]
    fn a_task_that_has_ended_has_no_pending_approvals() {
        let mut info = info(&json!([asked("t.run.1.0.0", "tool_call")]));
        info.status = WorkflowExecutionStatus::Canceled.into();
        assert_eq!(TaskRecord::of_info(info).unwrap().approvals, []);
    }

    #[test]
    fn a_nested_task_uses_the_log_that_its_memo_names() {
        let mut nested = info(&json!([]));
        nested.first_run_id = "first".to_owned();
        let task = TaskRecord::of_info(nested.clone()).unwrap();
        assert_eq!((&task.log, task.is_nested()), (&LogId::new("t", "first"), false));
        let log = LogId::new("root", "first run of the root");
        nested
            .memo
            .as_mut()
            .unwrap()
            .fields
            .insert(MEMO_LOG.to_owned(), pack(&log).unwrap());
        let task = TaskRecord::of_info(nested).unwrap();
        assert_eq!((&task.log, task.is_nested()), (&log, true));
        assert_eq!(task.own_log(), LogId::new("t", "first"));
    }

    #[test]
    fn only_the_failure_type_of_the_time_limit_means_timed_out() {
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
            timed_out(&failed(TASK_TIMED_OUT)).as_deref(),
            Some("the task took longer than 1h")
        );
        assert_eq!(timed_out(&failed("Other")), None);
        assert_eq!(timed_out(&HistoryEvent::default()), None);
    }
}

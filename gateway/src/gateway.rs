//! What every request needs, and the one rule of whose task may be seen by whom.

use steadfast_eventlog::{EventLog, LogReader};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    access::{Access, Action, Caller, SelfApproval},
    directory::{AgentDirectory, AgentEntry},
    error::ApiError,
    task::TaskRecord,
    temporal::{Temporal, TemporalError},
    transcript,
};

/// Longest id a task can have.
const MAX_TASK_ID_BYTES: usize = 255;

/// The parts of a gateway. Holds no state of its own.
pub struct Gateway {
    pub access: Access,
    pub self_approval: SelfApproval,
    pub directory: AgentDirectory,
    pub temporal: Temporal,
    pub log: EventLog,
    pub reader: LogReader,
    /// Ends the streams, which otherwise end with their tasks only.
    pub stopping: CancellationToken,
}

impl Gateway {
    /// The agent, if the caller may do this with it.
    pub async fn agent(
        &self,
        caller: &Caller,
        action: Action,
        found: Option<AgentEntry>,
    ) -> Result<AgentEntry, ApiError> {
        let agent = found.ok_or_else(|| ApiError::not_found("the agent"))?;
        if self.access.allows(caller, action, &agent.name).await? {
            Ok(agent)
        } else {
            Err(ApiError::not_found("the agent"))
        }
    }

    /// The task, if the caller may do this with it.
    pub async fn task(&self, caller: &Caller, action: Action, id: &str) -> Result<TaskRecord, ApiError> {
        let task = self.known_task(id).await?;
        if self.allows(caller, action, &task).await? {
            Ok(task)
        } else {
            Err(ApiError::not_found("the task"))
        }
    }

    /// The task, whoever asks: what the caller may see of it is not decided here.
    pub async fn known_task(&self, id: &str) -> Result<TaskRecord, ApiError> {
        let unknown = || ApiError::not_found("the task");
        if id.is_empty() || id.len() > MAX_TASK_ID_BYTES || id.chars().any(char::is_control) {
            return Err(unknown());
        }
        let description = match self.temporal.describe(id).await {
            Ok(description) => description,
            Err(TemporalError::NotFound) => return Err(self.unknown_or_gone(id).await),
            Err(error) => return Err(error.into()),
        };
        let task = TaskRecord::read(description).ok_or_else(unknown)?;
        if self.is_ours(&task) { Ok(task) } else { Err(unknown()) }
    }

    /// Whether a caller may do something with a task: with one's own by the
    /// permission for tasks, with another's by the one for all tasks.
    pub async fn allows(&self, caller: &Caller, action: Action, task: &TaskRecord) -> Result<bool, ApiError> {
        let action = if caller.name() == task.creator {
            action
        } else {
            action.of_others()
        };
        self.access.allows(caller, action, &task.agent).await
    }

    /// Other installs may keep tasks in the same Temporal namespace.
    pub fn is_ours(&self, task: &TaskRecord) -> bool {
        let install = &self.directory.naming().install;
        task.task_queue
            .strip_prefix(install.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
            || self
                .directory
                .by_name(&task.agent)
                .is_some_and(|agent| agent.task_queue == task.task_queue)
    }

    /// An id that we minted long ago names a task that has been forgotten.
    async fn unknown_or_gone(&self, id: &str) -> ApiError {
        let minted = Uuid::parse_str(id)
            .ok()
            .and_then(|id| id.get_timestamp())
            .map(|time| time.to_unix().0);
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
        match (minted, self.temporal.retention().await) {
            (Some(minted), Ok(Some(retention))) if minted + retention.as_secs() < now => transcript::gone(self).await,
            _ => ApiError::not_found("the task"),
        }
    }
}

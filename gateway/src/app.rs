//! The parts of a gateway that every request uses, and the one rule of who may see a task.

use std::sync::Arc;

use axum::http::HeaderName;
use steadfast_attachment_store::AttachmentStore;
use steadfast_eventlog::{EventLog, LogReader};
use steadfast_process::BlockingWork;
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeWorkflowExecutionResponse;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    access::{Access, Action, Caller, SelfApproval},
    admission::HistoryLimits,
    agents::{AgentDirectory, AgentEntry, AgentName},
    audit,
    error::ApiError,
    fleet::Fleet,
    links::Links,
    load::Load,
    metrics::Metrics,
    prices::Prices,
    task::TaskRecord,
    temporal::{Temporal, TemporalError},
    wake::Waker,
};

/// Longest id that a task can have.
const MAX_TASK_ID_BYTES: usize = 255;

/// The parts of a gateway. Stores nothing itself.
pub struct Gateway {
    pub access: Access,
    pub self_approval: SelfApproval,
    pub agents: AgentDirectory,
    /// Starts workers for agents that have none.
    pub waker: Waker,
    pub temporal: Temporal,
    pub history_limits: HistoryLimits,
    pub log: EventLog,
    pub reader: LogReader,
    pub metrics: Metrics,
    /// What the agents do.
    pub fleet: Fleet,
    /// What models cost.
    pub prices: Prices,
    /// Where a task is shown elsewhere.
    pub links: Links,
    pub load: Load,
    /// Threads for the forms of users.
    pub blocking: BlockingWork,
    /// Headers whose value names a conversation of a client of OpenAI's APIs, the first one first.
    pub conversation_headers: Vec<HeaderName>,
    /// Where the bytes of attachments are kept; without it, messages with bytes are refused.
    pub attachments: Option<AttachmentStore>,
    /// Ends the streams, which otherwise last as long as their tasks.
    pub stopping: CancellationToken,
}

impl Gateway {
    /// The agent, if it exists and the caller has the permission.
    pub(crate) async fn agent(
        &self,
        caller: &Caller,
        action: Action,
        agent: Option<Arc<AgentEntry>>,
    ) -> Result<Arc<AgentEntry>, ApiError> {
        let agent = agent.ok_or_else(|| ApiError::not_found("the agent"))?;
        if self.access.allows(caller, action, &agent.name).await? {
            Ok(agent)
        } else {
            Err(ApiError::not_found("the agent"))
        }
    }

    /// The task, if it exists and the caller has the permission.
    pub(crate) async fn task(&self, caller: &Caller, action: Action, id: &str) -> Result<TaskRecord, ApiError> {
        let task = self.known_task(id).await?;
        if self.allows(caller, action, &task).await? {
            Ok(task)
        } else {
            Err(ApiError::not_found("the task"))
        }
    }

    /// The task, if it exists. The caller's permissions are not checked here.
    pub(crate) async fn known_task(&self, id: &str) -> Result<TaskRecord, ApiError> {
        let unknown = || ApiError::not_found("the task");
        if id.is_empty() || id.len() > MAX_TASK_ID_BYTES || id.chars().any(char::is_control) {
            return Err(unknown());
        }
        audit::task(id);
        let description = Box::pin(self.describe_for_request(id)).await?;
        if let Some(error) = TaskRecord::undecryptable(&description) {
            return Err(ApiError::unavailable("the encryption key of the task", error));
        }
        let description = Arc::unwrap_or_clone(description);
        let task = TaskRecord::read(description).ok_or_else(unknown)?;
        if self.owns(&task) { Ok(task) } else { Err(unknown()) }
    }

    async fn describe_for_request(&self, id: &str) -> Result<Arc<DescribeWorkflowExecutionResponse>, ApiError> {
        let question = Box::pin(self.temporal.describe(id));
        match self.load.describe_for_request(id, question).await {
            Ok(description) => Ok(description),
            Err(error) if matches!(*error, TemporalError::NotFound) => Err(self.unknown_or_expired(id).await),
            Err(error) => Err(ApiError::of_shared_call(error)),
        }
    }

    /// What Temporal knows of a task now. Many may ask at the same time: they share the answer.
    pub(crate) async fn describe_shared(
        &self,
        id: &str,
    ) -> Result<Arc<DescribeWorkflowExecutionResponse>, Arc<TemporalError>> {
        self.load.describe(id, Box::pin(self.temporal.describe(id))).await
    }

    /// Whether a caller may act on a task. The caller's own tasks need the permission for tasks,
    /// the tasks of others the permission for all tasks.
    pub(crate) async fn allows(&self, caller: &Caller, action: Action, task: &TaskRecord) -> Result<bool, ApiError> {
        let action = if caller.name() == task.creator {
            action
        } else {
            action.on_tasks_of_others()
        };
        self.access.allows(caller, action, &task.agent).await
    }

    /// Whether a task belongs to this installation, and to a namespace that it serves: several installations may share
    /// a Temporal namespace.
    pub(crate) fn owns(&self, task: &TaskRecord) -> bool {
        if !self.agents.serves(&task.agent.namespace) {
            return false;
        }
        let install_id = &self.agents.naming().install_id;
        task.task_queue
            .strip_prefix(install_id.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
            || self
                .agents
                .by_name(&task.agent)
                .is_some_and(|agent| agent.task_queue == task.task_queue)
    }

    /// Something for a task of this agent is at Temporal: starts a worker if there is none.
    pub(crate) fn wake(&self, agent: &AgentName) {
        if let Some(agent) = self.agents.by_name(agent) {
            self.waker.wake(&agent);
        }
    }

    /// The error for a task that Temporal no longer keeps.
    pub(crate) async fn task_expired(&self) -> ApiError {
        ApiError::task_expired(self.temporal.retention().await.ok().flatten())
    }

    /// A UUIDv7 older than the retention period names a task that may have existed.
    async fn unknown_or_expired(&self, id: &str) -> ApiError {
        let made = Uuid::parse_str(id).ok().and_then(|id| id.get_timestamp());
        let Some((created, _)) = made.map(|time| time.to_unix()) else {
            return ApiError::not_found("the task");
        };
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
        match self.temporal.retention().await {
            Ok(Some(retention)) if created + retention.as_secs() < now => ApiError::task_expired(Some(retention)),
            _ => ApiError::not_found("the task"),
        }
    }
}

#[cfg(test)]
impl Gateway {
    /// A gateway without agents that reaches no service.
    pub(crate) fn without_services() -> Self {
        const NOWHERE: &str = "127.0.0.1:1";
        let metrics = Metrics::register(&steadfast_process::prometheus::Registry::new()).expect("metrics");
        let temporal = steadfast_temporal::TemporalSettings::insecure(NOWHERE, "default").expect("an address");
        let redis = steadfast_eventlog::RedisConnector::from_url(&format!("redis://{NOWHERE}")).expect("an address");
        let log = EventLog::new(redis, steadfast_eventlog::LogSettings::default());
        let reader = LogReader::start(log.clone());
        Self {
            access: Access::Anonymous,
            self_approval: SelfApproval::Allowed,
            agents: AgentDirectory::default(),
            waker: Waker::none(),
            temporal: Temporal::new(temporal, metrics.clone()),
            history_limits: HistoryLimits::default(),
            fleet: Fleet::new(reader.clone()),
            reader,
            log,
            metrics,
            prices: Prices::default(),
            links: Links::default(),
            load: Load::default(),
            blocking: BlockingWork::new(1),
            conversation_headers: Vec::new(),
            attachments: None,
            stopping: CancellationToken::new(),
        }
    }
}

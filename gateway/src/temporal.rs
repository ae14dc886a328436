//! The gateway's calls to Temporal about tasks, made on the raw service so that each sets
//! exactly the fields that it needs. Every call is bounded and measured.

use std::time::{Duration, Instant};

use steadfast_contract::start::WORKFLOW_TASK_TIMEOUT;
pub(crate) use steadfast_temporal::TemporalError;
use steadfast_temporal::{Codec, Message, Method, TemporalClient, TemporalSettings};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::{
    common::v1::{Memo, Payload, Payloads, WorkflowExecution, WorkflowType},
    enums::v1::{HistoryEventFilterType, WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
    history::v1::HistoryEvent,
    query::v1::WorkflowQuery,
    taskqueue::v1::TaskQueue,
    workflow::v1::WorkflowExecutionInfo,
    workflowservice::v1::{
        DeleteWorkflowExecutionRequest, DescribeNamespaceRequest, DescribeWorkflowExecutionRequest,
        DescribeWorkflowExecutionResponse, GetWorkflowExecutionHistoryRequest, ListWorkflowExecutionsRequest,
        QueryWorkflowRequest, RequestCancelWorkflowExecutionRequest, SignalWithStartWorkflowExecutionRequest,
        SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest, TerminateWorkflowExecutionRequest,
    },
};

use crate::metrics::Metrics;

/// Clients wait for the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const IDENTITY: &str = "steadfast-gateway";

/// A measured client of Temporal.
pub struct Temporal {
    client: TemporalClient,
    metrics: Metrics,
}

/// The start of a workflow.
#[derive(Clone, Debug)]
pub struct StartRequest {
    pub workflow_id: String,
    pub workflow_type: &'static str,
    pub task_queue: String,
    pub input: Payload,
    pub memo: Vec<(&'static str, Payload)>,
}

/// The result of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    New,
    /// A workflow with this id runs or ran.
    Existing,
}

impl Temporal {
    /// Does not connect yet: Temporal may be down when the gateway starts.
    pub fn new(settings: TemporalSettings, metrics: Metrics) -> Self {
        Self {
            client: TemporalClient::new(settings, IDENTITY, REQUEST_TIMEOUT),
            metrics,
        }
    }

    /// The Temporal namespace.
    pub(crate) fn namespace(&self) -> &str {
        self.client.namespace()
    }

    /// Encrypts and decrypts payloads.
    pub(crate) fn codec(&self) -> &Codec {
        self.client.codec()
    }

    /// Whether Temporal answers, and serves our namespace.
    pub async fn check(&self) -> Result<(), TemporalError> {
        self.retention().await.map(drop)
    }

    /// How long Temporal keeps a workflow after it has ended.
    pub async fn retention(&self) -> Result<Option<Duration>, TemporalError> {
        let request = DescribeNamespaceRequest {
            namespace: self.client.namespace().to_owned(),
            ..Default::default()
        };
        let answer = self
            .call("describe_namespace", request, <dyn WorkflowService>::describe_namespace)
            .await?;
        let retention = answer.config.and_then(|config| config.workflow_execution_retention_ttl);
        Ok(retention
            .and_then(|retention| u64::try_from(retention.seconds).ok())
            .map(Duration::from_secs))
    }

    /// Starts a workflow unless one with its id runs or ran.
    pub async fn start(&self, start: StartRequest) -> Result<Started, TemporalError> {
        let memo = start
            .memo
            .into_iter()
            .map(|(name, payload)| (name.to_owned(), payload))
            .collect();
        let request = StartWorkflowExecutionRequest {
            namespace: self.client.namespace().to_owned(),
            workflow_id: start.workflow_id,
            workflow_type: Some(WorkflowType {
                name: start.workflow_type.to_owned(),
            }),
            task_queue: Some(TaskQueue {
                name: start.task_queue,
                ..Default::default()
            }),
            input: Some(Payloads {
                payloads: vec![start.input],
            }),
            identity: self.client.identity().to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            workflow_id_reuse_policy: WorkflowIdReusePolicy::RejectDuplicate.into(),
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::UseExisting.into(),
            memo: Some(Memo { fields: memo }),
            workflow_task_timeout: WORKFLOW_TASK_TIMEOUT.try_into().ok(),
            ..Default::default()
        };
        match self
            .call(
                "start_workflow_execution",
                request,
                <dyn WorkflowService>::start_workflow_execution,
            )
            .await
        {
            Ok(answer) if answer.started => Ok(Started::New),
            Ok(_) | Err(TemporalError::AlreadyExists(_)) => Ok(Started::Existing),
            Err(error) => Err(error),
        }
    }

    /// Starts a workflow with a signal; one that runs under its id gets the signal alone. A workflow that has ended
    /// is [`TemporalError::AlreadyExists`]. `request_id` makes repeating it harmless.
    pub async fn signal_with_start(
        &self,
        start: StartRequest,
        signal: &str,
        input: Payload,
        request_id: String,
    ) -> Result<Started, TemporalError> {
        let memo = start
            .memo
            .into_iter()
            .map(|(name, payload)| (name.to_owned(), payload))
            .collect();
        let request = SignalWithStartWorkflowExecutionRequest {
            namespace: self.client.namespace().to_owned(),
            workflow_id: start.workflow_id,
            workflow_type: Some(WorkflowType {
                name: start.workflow_type.to_owned(),
            }),
            task_queue: Some(TaskQueue {
                name: start.task_queue,
                ..Default::default()
            }),
            input: Some(Payloads {
                payloads: vec![start.input],
            }),
            identity: self.client.identity().to_owned(),
            request_id,
            workflow_id_reuse_policy: WorkflowIdReusePolicy::RejectDuplicate.into(),
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::UseExisting.into(),
            signal_name: signal.to_owned(),
            signal_input: Some(Payloads { payloads: vec![input] }),
            memo: Some(Memo { fields: memo }),
            workflow_task_timeout: WORKFLOW_TASK_TIMEOUT.try_into().ok(),
            ..Default::default()
        };
        let answer = self
            .call(
                "signal_with_start_workflow_execution",
                request,
                <dyn WorkflowService>::signal_with_start_workflow_execution,
            )
            .await?;
        Ok(if answer.started {
            Started::New
        } else {
            Started::Existing
        })
    }

    /// Signals a running workflow. `request_id` makes repeating it harmless.
    pub async fn signal(
        &self,
        workflow_id: &str,
        signal: &str,
        input: Payload,
        request_id: String,
    ) -> Result<(), TemporalError> {
        let request = SignalWorkflowExecutionRequest {
            namespace: self.client.namespace().to_owned(),
            workflow_execution: Some(execution(workflow_id, "")),
            signal_name: signal.to_owned(),
            input: Some(Payloads { payloads: vec![input] }),
            identity: self.client.identity().to_owned(),
            request_id,
            ..Default::default()
        };
        self.call(
            "signal_workflow_execution",
            request,
            <dyn WorkflowService>::signal_workflow_execution,
        )
        .await
        .map(drop)
    }

    /// Asks a running workflow to end. With encryption the reason is left out: the server keeps it as plain text.
    pub async fn cancel(&self, workflow_id: &str, reason: &str) -> Result<(), TemporalError> {
        let reason = if self.client.codec().encrypts() { "" } else { reason };
        let request = RequestCancelWorkflowExecutionRequest {
            namespace: self.client.namespace().to_owned(),
            workflow_execution: Some(execution(workflow_id, "")),
            identity: self.client.identity().to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        self.call(
            "request_cancel_workflow_execution",
            request,
            <dyn WorkflowService>::request_cancel_workflow_execution,
        )
        .await
        .map(drop)
    }

    /// Ends the newest run of a chain of runs at once, if it belongs to the chain that began with `first_run_id`.
    pub async fn terminate_task(
        &self,
        workflow_id: &str,
        first_run_id: &str,
        reason: &str,
    ) -> Result<(), TemporalError> {
        self.terminate(execution(workflow_id, ""), first_run_id, reason).await
    }

    /// Ends a run at once.
    pub async fn terminate_run(&self, workflow_id: &str, run_id: &str, reason: &str) -> Result<(), TemporalError> {
        self.terminate(execution(workflow_id, run_id), "", reason).await
    }

    /// With encryption the reason is left out: the server keeps it as plain text.
    async fn terminate(
        &self,
        execution: WorkflowExecution,
        first_run_id: &str,
        reason: &str,
    ) -> Result<(), TemporalError> {
        let reason = if self.client.codec().encrypts() { "" } else { reason };
        let request = TerminateWorkflowExecutionRequest {
            namespace: self.client.namespace().to_owned(),
            workflow_execution: Some(execution),
            reason: reason.to_owned(),
            identity: self.client.identity().to_owned(),
            first_execution_run_id: first_run_id.to_owned(),
            ..Default::default()
        };
        self.call(
            "terminate_workflow_execution",
            request,
            <dyn WorkflowService>::terminate_workflow_execution,
        )
        .await
        .map(drop)
    }

    /// What a workflow answers to a query without arguments.
    pub async fn query(&self, workflow_id: &str, query: &str) -> Result<Payload, TemporalError> {
        let request = QueryWorkflowRequest {
            namespace: self.client.namespace().to_owned(),
            execution: Some(execution(workflow_id, "")),
            query: Some(WorkflowQuery {
                query_type: query.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let answer = self
            .call("query_workflow", request, <dyn WorkflowService>::query_workflow)
            .await?;
        let payloads = answer.query_result.map(|result| result.payloads).unwrap_or_default();
        Ok(payloads.into_iter().next().unwrap_or_default())
    }

    /// Deletes a run and its history. Temporal does it a moment later.
    pub async fn delete(&self, workflow_id: &str, run_id: &str) -> Result<(), TemporalError> {
        let request = DeleteWorkflowExecutionRequest {
            namespace: self.client.namespace().to_owned(),
            workflow_execution: Some(execution(workflow_id, run_id)),
        };
        self.call(
            "delete_workflow_execution",
            request,
            <dyn WorkflowService>::delete_workflow_execution,
        )
        .await
        .map(drop)
    }

    /// The newest run of a workflow.
    pub async fn describe(&self, workflow_id: &str) -> Result<DescribeWorkflowExecutionResponse, TemporalError> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.client.namespace().to_owned(),
            execution: Some(execution(workflow_id, "")),
        };
        self.call(
            "describe_workflow_execution",
            request,
            <dyn WorkflowService>::describe_workflow_execution,
        )
        .await
    }

    /// A page of the workflows that a visibility query finds, and the token of the next.
    pub async fn list(
        &self,
        query: &str,
        page_token: Vec<u8>,
    ) -> Result<(Vec<WorkflowExecutionInfo>, Vec<u8>), TemporalError> {
        let request = ListWorkflowExecutionsRequest {
            namespace: self.client.namespace().to_owned(),
            page_size: 200,
            next_page_token: page_token,
            query: query.to_owned(),
        };
        let answer = self
            .call(
                "list_workflow_executions",
                request,
                <dyn WorkflowService>::list_workflow_executions,
            )
            .await?;
        Ok((answer.executions, answer.next_page_token))
    }

    /// The first event of a run: what started it.
    pub async fn first_event(&self, workflow_id: &str, run_id: &str) -> Result<Option<HistoryEvent>, TemporalError> {
        let (events, _) = self
            .history_page(workflow_id, run_id, Vec::new(), 1, HistoryEventFilterType::AllEvent)
            .await?;
        Ok(events.into_iter().next())
    }

    /// The last event of a run that has ended: how it ended.
    pub async fn close_event(&self, workflow_id: &str, run_id: &str) -> Result<Option<HistoryEvent>, TemporalError> {
        let (events, _) = self
            .history_page(workflow_id, run_id, Vec::new(), 1, HistoryEventFilterType::CloseEvent)
            .await?;
        Ok(events.into_iter().next_back())
    }

    /// A page of the history of a run, and the token of the next page.
    pub async fn history_part(
        &self,
        workflow_id: &str,
        run_id: &str,
        token: Vec<u8>,
    ) -> Result<(Vec<HistoryEvent>, Vec<u8>), TemporalError> {
        self.history_page(workflow_id, run_id, token, 200, HistoryEventFilterType::AllEvent)
            .await
    }

    /// The whole history of a run.
    pub async fn history(&self, workflow_id: &str, run_id: &str) -> Result<Vec<HistoryEvent>, TemporalError> {
        let mut history = Vec::new();
        let mut token = Vec::new();
        loop {
            let (events, next) = self
                .history_page(workflow_id, run_id, token, 1000, HistoryEventFilterType::AllEvent)
                .await?;
            history.extend(events);
            if next.is_empty() {
                return Ok(history);
            }
            token = next;
        }
    }

    async fn history_page(
        &self,
        workflow_id: &str,
        run_id: &str,
        token: Vec<u8>,
        size: i32,
        filter: HistoryEventFilterType,
    ) -> Result<(Vec<HistoryEvent>, Vec<u8>), TemporalError> {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: self.client.namespace().to_owned(),
            execution: Some(execution(workflow_id, run_id)),
            maximum_page_size: size,
            history_event_filter_type: filter.into(),
            next_page_token: token,
            ..Default::default()
        };
        let answer = self
            .call(
                "get_workflow_execution_history",
                request,
                <dyn WorkflowService>::get_workflow_execution_history,
            )
            .await?;
        Ok((
            answer.history.map(|history| history.events).unwrap_or_default(),
            answer.next_page_token,
        ))
    }

    async fn call<Q: Message + Clone, A: Message>(
        &self,
        name: &'static str,
        request: Q,
        method: Method<Q, A>,
    ) -> Result<A, TemporalError> {
        let begin = Instant::now();
        let answer = self.client.request(request, method).await;
        let outcome = answer.as_ref().err().map_or("success", TemporalError::category);
        self.metrics.temporal_call_ended(name, outcome, begin.elapsed());
        answer
    }
}

fn execution(workflow_id: &str, run_id: &str) -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: workflow_id.to_owned(),
        run_id: run_id.to_owned(),
    }
}

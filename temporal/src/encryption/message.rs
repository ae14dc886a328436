//! The requests and responses that our programs exchange with the raw service, and whether they hold payloads.

use temporalio_common::{
    payload_visitor::PayloadVisitable,
    protos::temporal::api::workflowservice::v1::{
        CountWorkflowExecutionsRequest, CountWorkflowExecutionsResponse, CreateScheduleRequest, CreateScheduleResponse,
        DeleteScheduleRequest, DeleteScheduleResponse, DeleteWorkerDeploymentVersionRequest,
        DeleteWorkerDeploymentVersionResponse, DeleteWorkflowExecutionRequest, DeleteWorkflowExecutionResponse,
        DescribeNamespaceRequest, DescribeNamespaceResponse, DescribeScheduleRequest, DescribeScheduleResponse,
        DescribeTaskQueueRequest, DescribeTaskQueueResponse, DescribeWorkerDeploymentRequest,
        DescribeWorkerDeploymentResponse, DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse,
        GetSystemInfoRequest, GetSystemInfoResponse, GetWorkflowExecutionHistoryRequest,
        GetWorkflowExecutionHistoryResponse, ListSchedulesRequest, ListSchedulesResponse,
        ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse, QueryWorkflowRequest, QueryWorkflowResponse,
        RequestCancelWorkflowExecutionRequest, RequestCancelWorkflowExecutionResponse,
        SetWorkerDeploymentCurrentVersionRequest, SetWorkerDeploymentCurrentVersionResponse,
        SignalWithStartWorkflowExecutionRequest, SignalWithStartWorkflowExecutionResponse,
        SignalWorkflowExecutionRequest, SignalWorkflowExecutionResponse, StartWorkflowExecutionRequest,
        StartWorkflowExecutionResponse, TerminateWorkflowExecutionRequest, TerminateWorkflowExecutionResponse,
        UpdateScheduleRequest, UpdateScheduleResponse,
    },
};

/// A request or a response of the raw service.
#[diagnostic::on_unimplemented(
    note = "list the message in temporal/src/encryption/message.rs, with or without payloads"
)]
pub trait Message: Send {
    /// The message as one with payloads; `None` for a message that has none.
    fn payloads(&mut self) -> Option<&mut dyn PayloadVisitable>;
}

macro_rules! with_payloads {
    ($($message:ty),* $(,)?) => {$(
        impl Message for $message {
            fn payloads(&mut self) -> Option<&mut dyn PayloadVisitable> {
                Some(self)
            }
        }
    )*};
}

macro_rules! without_payloads {
    ($($message:ty),* $(,)?) => {$(
        impl Message for $message {
            fn payloads(&mut self) -> Option<&mut dyn PayloadVisitable> {
                None
            }
        }
    )*};
}

with_payloads!(
    CountWorkflowExecutionsResponse,
    CreateScheduleRequest,
    DescribeScheduleResponse,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryResponse,
    ListSchedulesResponse,
    ListWorkflowExecutionsResponse,
    QueryWorkflowRequest,
    QueryWorkflowResponse,
    SignalWithStartWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
    UpdateScheduleRequest,
);

without_payloads!(
    CountWorkflowExecutionsRequest,
    CreateScheduleResponse,
    DeleteScheduleRequest,
    DeleteScheduleResponse,
    DeleteWorkerDeploymentVersionRequest,
    DeleteWorkerDeploymentVersionResponse,
    DeleteWorkflowExecutionRequest,
    DeleteWorkflowExecutionResponse,
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    DescribeScheduleRequest,
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse,
    DescribeWorkflowExecutionRequest,
    GetSystemInfoRequest,
    GetSystemInfoResponse,
    GetWorkflowExecutionHistoryRequest,
    ListSchedulesRequest,
    ListWorkflowExecutionsRequest,
    RequestCancelWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionResponse,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentCurrentVersionResponse,
    SignalWithStartWorkflowExecutionResponse,
    SignalWorkflowExecutionResponse,
    TerminateWorkflowExecutionResponse,
    UpdateScheduleResponse,
);

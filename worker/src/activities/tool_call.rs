//! The parts that tool activities share: the call as the model requested it, and
//! one measured attempt of it.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use serde_json::{Map, Value};
use steadfast_agent_loop::{Body, CallKind, ModelText, SegmentRef, ToolCall, ToolOutput, tool_call};
use steadfast_contract::{
    activities::{LogAck, Revision},
    tool_calls::tool_calls,
};
use steadfast_crds::agent_revision::RevisionTool;

use super::{Activities, ActivityScope, publish::LogPosition};
use crate::{
    failure::{ActivityFailure, CallFailure},
    observe::{
        metrics::ToolCallOutcome,
        spans::{ToolCallStart, ToolSpan, ToolType},
    },
};

/// Where the model requested a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallPosition {
    pub turn: u32,
    pub step: u32,
    /// Output index of the call in the model's response.
    pub index: u32,
}

/// A call as the model requested it.
pub(super) struct RequestedCall {
    pub revision: Arc<Revision>,
    pub position: CallPosition,
    pub call: ToolCall,
    pub arguments: Map<String, Value>,
}

impl RequestedCall {
    /// Reads the call from the history of the run.
    pub(super) async fn load(
        scope: &ActivityScope<'_>,
        revision: &str,
        position: CallPosition,
    ) -> Result<Self, ActivityFailure> {
        let revision = scope.history.revision(revision).await?;
        let response = SegmentRef::Model(position.turn, position.step);
        let response = scope.history.segment(&response).await?;
        let missing = || CallFailure::permanent("call_missing", "the model's response does not contain the call");
        let Body::Model { items, .. } = &response.body else {
            return Err(missing().into());
        };
        let call = tool_calls(items, &BTreeMap::new())
            .into_iter()
            .find(|candidate| candidate.index == position.index)
            .ok_or_else(missing)?;
        let item = usize::try_from(position.index).ok().and_then(|index| items.get(index));
        match tool_call::arguments(item.unwrap_or(&Value::Null)) {
            Ok(Value::Object(arguments)) => Ok(Self {
                revision,
                position,
                call,
                arguments,
            }),
            _ => Err(CallFailure::permanent("tool_arguments", "the arguments are not a JSON object").into()),
        }
    }

    /// A tool of the call's revision.
    pub(super) fn tool(&self, name: &str) -> Result<&RevisionTool, CallFailure> {
        let found = self.revision.spec.tools.iter().find(|tool| tool.name == name);
        found.ok_or_else(|| CallFailure::permanent("tool_missing", format!("the revision has no tool {name:?}")))
    }

    fn output(&self, content: Value, is_error: bool) -> ToolOutput {
        ToolOutput {
            call_id: self.call.call_id.clone(),
            name: self.call.name.clone(),
            kind: CallKind::Function,
            content,
            is_error,
            text: ModelText::default(),
        }
    }
}

/// One attempt of a call, with its span and its metrics.
pub(super) struct ToolAttempt<'a> {
    activities: &'a Activities,
    agent: &'a str,
    tool: &'a str,
    started_at: Instant,
    span: ToolSpan,
}

impl Activities {
    pub(super) fn start_attempt<'a>(
        &'a self,
        scope: &ActivityScope<'_>,
        call: &'a RequestedCall,
        tool: &'a RevisionTool,
    ) -> ToolAttempt<'a> {
        let agent = &call.revision.spec.agent;
        let mut span = self.spans.tool_call(
            scope.context,
            ToolCallStart {
                agent,
                tool: &call.call.name,
                call_id: &call.call.call_id,
                kind: ToolType::Extension,
                turn: call.position.turn,
                step: call.position.step,
                attempt: scope.activity.info().attempt,
            },
        );
        span.arguments(&call.arguments);
        ToolAttempt {
            activities: self,
            agent,
            tool: &tool.name,
            started_at: Instant::now(),
            span,
        }
    }

    /// Publishes the result of a call.
    pub(super) async fn publish_result(
        &self,
        scope: &ActivityScope<'_>,
        call: &RequestedCall,
        cursor: Option<&str>,
        (result, is_error): (&Value, bool),
    ) -> Result<LogAck, ActivityFailure> {
        let start = scope.history.start().await?;
        let position = LogPosition {
            turn: call.position.turn,
            step: call.position.step,
            cursor,
        };
        let output = (call.position.index, call.output(result.clone(), is_error));
        let ack = self.publish_tool_output(scope.activity, &start, &call.revision, position, output);
        Ok(ack.await)
    }
}

impl ToolAttempt<'_> {
    pub(super) fn traceparent(&self) -> Option<String> {
        self.span.traceparent()
    }

    /// The tool answered; it may have answered with an error.
    pub(super) fn ended(mut self, content: &Value, is_error: bool) {
        self.span.result(content);
        if is_error {
            self.count(ToolCallOutcome::Error);
            self.span.failed("tool_error");
        } else {
            self.count(ToolCallOutcome::Success);
            self.span.succeeded();
        }
    }

    /// The attempt failed.
    pub(super) fn failed(self, failure: CallFailure) -> ActivityFailure {
        self.count(ToolCallOutcome::Failed);
        self.span.failed("tool_failed");
        failure.into()
    }

    fn count(&self, outcome: ToolCallOutcome) {
        self.activities
            .metrics
            .tool_call_ended(self.agent, self.tool, self.started_at.elapsed(), outcome);
    }
}

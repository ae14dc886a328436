//! Activity: one attempt of a call of an MCP server's tool.

use serde_json::Value;
use steadfast_agent_loop::tool_call;
use steadfast_contract::{
    activities::{McpToolCall, McpToolOutcome},
    failures::PAYLOAD_TOO_LARGE,
};
use steadfast_crds::agent_tool::Idempotency;

use super::{
    Activities, ActivityScope,
    tool_call::{CallPosition, RequestedCall},
};
use crate::{
    failure::{ActivityFailure, CallFailure},
    tools::mcp::{McpCall, McpCallResult},
};

impl Activities {
    pub(super) async fn run_mcp_tool(
        &self,
        scope: &ActivityScope<'_>,
        input: McpToolCall,
    ) -> Result<McpToolOutcome, ActivityFailure> {
        let position = CallPosition {
            turn: input.turn,
            step: input.step,
            index: input.index,
        };
        let call = RequestedCall::load(scope, &input.revision, position).await?;
        let server = call.tool(&input.target.server)?;
        let attempt = self.start_attempt(scope, &call, server);
        let traceparent = attempt.traceparent();
        let max_result_bytes = usize::try_from(server.spec.max_result_bytes).unwrap_or(usize::MAX);
        let request = McpCall {
            server: &input.target.server,
            tool: &input.target.tool,
            arguments: call.arguments.clone(),
            idempotency_key: scope.context.idempotency_key.as_deref(),
            traceparent: traceparent.as_deref(),
            answered: input.answered.as_ref(),
            is_repeatable: server.spec.idempotency == Idempotency::Natural,
            timeout: server.spec.timeout.as_std(),
            max_result_bytes,
        };
        let running = self.running.register(&scope.context.task_id, input.turn);
        // Dropping the call tells the server at once; the heartbeat would bring the interrupt seconds later.
        let result = tokio::select! {
            biased;
            () = running.token().cancelled() => Ok(interrupted()),
            result = self.mcp.call(&call.revision.spec, request) => result,
        };
        let result = match result {
            Ok(result) => result,
            Err(failure) => return Err(attempt.failed(failure)),
        };
        if let Some(request) = &result.input_required {
            if let Some(reason) = request.too_large() {
                let message = format!("the MCP server asks for too much: {reason}");
                return Err(attempt.failed(CallFailure::permanent(PAYLOAD_TOO_LARGE, message)));
            }
            attempt.ended(&Value::Null, false);
            return Ok(McpToolOutcome {
                input_required: result.input_required,
                ..McpToolOutcome::default()
            });
        }
        let content = tool_call::bounded(result.content, max_result_bytes);
        attempt.ended(&content, result.is_error);
        let published = (&content, result.is_error);
        let log = self
            .publish_result(scope, &call, input.cursor.as_deref(), published)
            .await?;
        Ok(McpToolOutcome {
            content,
            is_error: result.is_error,
            input_required: None,
            log,
        })
    }
}

/// The result of a call whose turn was interrupted: a completion is valid before the server has recorded the
/// cancellation, see [decision 10](../../../docs/decisions/0010-interrupted-model-calls.md).
fn interrupted() -> McpCallResult {
    McpCallResult {
        content: Value::String("the turn was interrupted before the tool answered; it may have acted".to_owned()),
        is_error: true,
        ..McpCallResult::default()
    }
}

//! Activity: one attempt of a call of an MCP server's tool. An attempt that fails and
//! may be followed by another one leaves a note in the details of its last heartbeat.
//! Where the note is missing, the attempt was lost with its worker in the middle of the
//! call: servers do not know our idempotency key, and the protocol says that a tool
//! without hints may do harm when it is called twice.

use serde::{Deserialize, Serialize};
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
    failure::{ActivityFailure, CallFailure, RetryClass},
    tools::mcp::{McpCall, McpCallResult},
};

/// What an attempt leaves for the next one, which may make the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MayCall {
    /// The attempt that has left it. An older note says nothing of the attempt after it.
    after_attempt: u32,
}

impl MayCall {
    /// Whether the attempt before was lost, and nobody knows whether the tool has acted.
    fn is_missing(attempt: u32, note: Option<Self>) -> bool {
        attempt > 1 && note.is_none_or(|note| note.after_attempt != attempt - 1)
    }
}

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
        let call = may_call_again(scope, RequestedCall::load(scope, &input.revision, position).await).await?;
        let server = call.tool(&input.target.server)?;
        let attempt = self.start_attempt(scope, &call, server);
        let note = scope.activity.heartbeat_details().deserialize().ok().flatten();
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
            is_after_loss: MayCall::is_missing(scope.activity.info().attempt, note),
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
            Err(failure) => return may_call_again(scope, Err(attempt.failed(failure))).await,
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

/// Leaves the note if the failure is one that another attempt may follow: the client knows whether the tool may have
/// acted.
async fn may_call_again<T>(
    scope: &ActivityScope<'_>,
    outcome: Result<T, ActivityFailure>,
) -> Result<T, ActivityFailure> {
    if let Err(ActivityFailure::Failed(failure)) = &outcome
        && failure.retry != RetryClass::Permanent
    {
        let note = MayCall {
            after_attempt: scope.activity.info().attempt,
        };
        if let Err(error) = scope.activity.record_heartbeat(note).await {
            tracing::warn!(%error, "the note for the next attempt was not recorded; it will not call the tool");
        }
    }
    outcome
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_note_of_the_attempt_before_lets_the_next_one_call() {
        let note = |after_attempt| Some(MayCall { after_attempt });
        for (attempt, note, is_missing) in [
            (1, None, false),
            (2, None, true),
            (2, note(1), false),
            (3, note(1), true),
            (3, note(2), false),
        ] {
            assert_eq!(MayCall::is_missing(attempt, note), is_missing, "{attempt} {note:?}");
        }
    }
}

//! Activity: one attempt of a call of an `http` tool.

use steadfast_contract::{
    activities::{HttpToolCall, HttpToolOutcome},
    tool_calls::bounded_result,
};

use super::{
    Activities, ActivityScope,
    tool_call::{CallPosition, RequestedCall},
};
use crate::{
    failure::{ActivityFailure, CallFailure},
    tools::http::{CallHeaders, HttpCall},
};

impl Activities {
    pub(super) async fn run_http_tool(
        &self,
        scope: &ActivityScope<'_>,
        input: HttpToolCall,
    ) -> Result<HttpToolOutcome, ActivityFailure> {
        let position = CallPosition {
            turn: input.turn,
            step: input.step,
            index: input.index,
        };
        let call = RequestedCall::load(scope, &input.revision, position).await?;
        let tool = call.tool(&input.tool)?;
        let Some(http) = &tool.spec.http else {
            let message = format!("{:?} is not an http tool", input.tool);
            return Err(CallFailure::permanent("tool_missing", message).into());
        };
        let attempt = self.start_attempt(scope, &call, tool);
        let request = HttpCall {
            revision: &call.revision,
            tool,
            http,
            arguments: &call.arguments,
        };
        let headers = CallHeaders {
            idempotency_key: scope.context.idempotency_key.as_deref(),
            traceparent: attempt.traceparent(),
        };
        let result = match self.http_tools.call(request, headers).await {
            Ok(result) => result,
            Err(failure) => return Err(attempt.failed(failure)),
        };
        let content = bounded_result(Some(&call.revision.spec), &input.tool, result.content);
        attempt.ended(&content, result.is_error);
        let published = (&content, result.is_error);
        let log = self
            .publish_result(scope, &call, input.cursor.as_deref(), published)
            .await?;
        Ok(HttpToolOutcome {
            content,
            is_error: result.is_error,
            log,
        })
    }
}

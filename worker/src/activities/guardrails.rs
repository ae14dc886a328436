//! Activity: evaluates the CEL guardrails of a stage.

use std::time::Duration;

use steadfast_agent_loop::Body;
use steadfast_contract::activities::{CelCheck, GuardrailResult};
use steadfast_process::BlockingWork;
use steadfast_projection::text_of_items;

use super::ActivityScope;
use crate::{
    failure::{ActivityFailure, CallFailure},
    guardrails::cel::check_cel,
};

/// Limit for all checks of a stage; a little less than the timeout of the activity.
const DEADLINE: Duration = Duration::from_secs(8);

pub(super) async fn check(
    scope: &ActivityScope<'_>,
    blocking: &BlockingWork,
    check: CelCheck,
) -> Result<Vec<GuardrailResult>, ActivityFailure> {
    let segment = scope.history.segment(&check.subject).await?;
    let text = match &segment.body {
        Body::User { content, .. } => content.to_text(),
        Body::Model { items, .. } => text_of_items(items),
        _ => String::new(),
    };
    let failed =
        |error: &(dyn std::error::Error + 'static)| CallFailure::permanent_error("guardrail_expression", error);
    // An expression over a long text takes long.
    let checked = blocking
        .run(&scope.context.task_id, DEADLINE, move || check_cel(&check, &text))
        .await;
    match checked {
        Ok(Ok(results)) => Ok(results),
        Ok(Err(error)) => Err(failed(&error).into()),
        Err(error) => Err(failed(&error).into()),
    }
}

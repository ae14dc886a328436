//! Guardrails that are CEL expressions.

use steadfast_agent_loop::{Body, UserContent};
use steadfast_contract::activities::{CelCheck, CheckVerdict};
use steadfast_projection::text_of_items;
use temporalio_sdk::activities::ActivityError;

use super::permanent;
use crate::{guardrail::check_cel, known::Known};

pub(super) async fn run(known: &Known<'_>, check: CelCheck) -> Result<Vec<CheckVerdict>, ActivityError> {
    let segment = known.segment(&check.subject).await?;
    let text = match &segment.body {
        Body::User {
            content: UserContent::Text(text),
            ..
        } => text.clone(),
        Body::User {
            content: UserContent::Data(data),
            ..
        } => data.to_string(),
        Body::Model { items, .. } => text_of_items(items),
        _ => String::new(),
    };
    // An expression over a long text takes its time.
    let checked = tokio::task::spawn_blocking(move || check_cel(&check, &text)).await?;
    checked.map_err(|error| permanent("guardrail_expression", error.to_string()))
}

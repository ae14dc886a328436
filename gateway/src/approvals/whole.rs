//! A pending approval with its whole arguments. The memo of a task cuts long ones; the log has them
//! for a limited time; Temporal's history has them as long as the task waits.

use steadfast_events::Approval;
use steadfast_history::whole_approval;

use super::look_up;
use crate::{access::Caller, app::Gateway, error::ApiError, task::TaskRecord};

/// The approval as it was requested; still with cut arguments where nothing has them whole.
pub(crate) async fn whole(
    gateway: &Gateway,
    caller: &Caller,
    task: &TaskRecord,
    pending: &Approval,
) -> Result<Approval, ApiError> {
    let logged = look_up(&gateway.log, &task.log, &pending.id).await.unwrap_or_default();
    if let Some(request) = logged.request {
        return Ok(request);
    }
    if !pending.arguments_truncated {
        return Ok(pending.clone());
    }
    let _turn = gateway.load.heavy_request(caller).await?;
    // The state of the newest run has every approval that waits.
    let history = gateway.temporal.history(&task.id, &task.run_id).await?;
    let whole = whole_approval(&history, pending)
        .map_err(|error| ApiError::internal("the task's history cannot be read", error))?;
    Ok(whole.unwrap_or_else(|| pending.clone()))
}

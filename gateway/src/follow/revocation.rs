//! Whether a viewer may still see its task: a stream lasts longer than a permission.

use axum::http::StatusCode;
use tokio::time::sleep;

use crate::{
    access::{Action, Credential, Session},
    app::Gateway,
    audit,
    error::ApiError,
    task::TaskRecord,
};

/// Waits until the viewer may no longer see the task, and tells why.
pub(super) async fn revoked(gateway: &Gateway, session: &Session, task: &TaskRecord) -> String {
    loop {
        sleep(gateway.load.times.recheck).await;
        // On the heap: between two checks, a stream would carry their size.
        match Box::pin(reason_to_end(gateway, session, task)).await {
            Ok(None) => {}
            Ok(Some(reason)) => {
                audit::log_revoked(session.actor(), &task.agent, &task.id, reason);
                return format!("the stream ends: {reason}");
            }
            // Without an answer, what was decided last holds: an outage does not end the streams.
            Err(error) => tracing::warn!(
                task = %task.id,
                error = &error as &dyn std::error::Error,
                "cannot check whether a viewer may still see its task; trying again"
            ),
        }
    }
}

async fn reason_to_end(
    gateway: &Gateway,
    session: &Session,
    task: &TaskRecord,
) -> Result<Option<&'static str>, ApiError> {
    let caller = match gateway.access.authenticate_again(session).await {
        Ok(caller) => caller,
        Err(error) if error.status == StatusCode::UNAUTHORIZED => {
            return Ok(Some(match session.credential {
                Credential::ApiKey(_) => "the API key was revoked, or it has expired",
                Credential::None | Credential::ClusterToken | Credential::OidcToken | Credential::ProxyHeader => {
                    "the bearer token is no longer valid"
                }
            }));
        }
        Err(error) => return Err(error),
    };
    if caller.name() != session.caller.name() {
        return Ok(Some("the bearer token is now that of another user"));
    }
    if !gateway.allows(&caller, Action::ReadTasks, task).await? {
        return Ok(Some("you may no longer see this task"));
    }
    if gateway.agents.by_name(&task.agent).is_none() {
        return Ok(Some("the agent of this task was deleted"));
    }
    Ok(None)
}

//! `/v1/models`: the agents that the caller may see, as models.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use crate::{
    access::{Action, Caller},
    agents::AgentEntry,
    api::agents,
    app::Gateway,
    error::{ApiError, ErrorBody},
};

/// The API has no pages for this list.
const MAX_MODELS: usize = 10_000;

/// The agents that the caller may see.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "list_models",
    tag = "openai",
    responses(
        (status = OK, description = "OpenAI's list of models.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, ApiError> {
    let agents = agents::visible(&gateway, &caller).await?;
    let models: Vec<Value> = agents.iter().take(MAX_MODELS).map(|agent| model(agent)).collect();
    Ok(Json(json!({"object": "list", "data": models})))
}

/// One agent.
#[utoipa::path(
    get,
    path = "/v1/models/{model}",
    operation_id = "get_model",
    tag = "openai",
    params(("model" = String, Path, description = "`name` of an agent, or `namespace.name` outside of the default namespace.")),
    responses(
        (status = OK, description = "OpenAI's model.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let agent = gateway.agents.by_client_name(&name);
    let agent = gateway
        .agent(&caller, Action::ReadAgent, agent)
        .await
        .map_err(|error| error.param("model"))?;
    Ok(Json(model(&agent)))
}

fn model(agent: &AgentEntry) -> Value {
    json!({
        "id": agent.client_name, "object": "model", "created": agent.created_at.as_second(),
        "owned_by": agent.name.namespace,
    })
}

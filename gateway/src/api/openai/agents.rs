//! `/v1/agents`: the agents that the caller may see, in the words of OpenAI's Agents API; and the
//! errors for what OpenAI's APIs have and Steadfast does not.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, Method},
};
use serde_json::{Value, json};

use super::conversations::Paging;
use crate::{
    access::{Action, Caller},
    agents::AgentEntry,
    api::{agents, extractors::Params},
    app::Gateway,
    error::{ApiError, ErrorBody},
    openai::{
        ids::AgentId,
        without_counterpart::{Unserved, without_counterpart},
    },
};

const BETA_HEADER: &str = "openai-beta";
const BETA: &str = "agents=v1";

/// The agents that the caller may see.
#[utoipa::path(
    get,
    path = "/v1/agents",
    operation_id = "list_openai_agents",
    tag = "openai",
    params(Paging),
    responses(
        (status = OK, description = "OpenAI's list of agents.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(paging): Params<Paging>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    let agents = agents::visible(&gateway, &caller).await?;
    let agents = agents.iter().map(|agent| agent_json(agent)).collect();
    paging.page(agents).map(Json)
}

/// One agent.
#[utoipa::path(
    get,
    path = "/v1/agents/{agent_id}",
    operation_id = "get_openai_agent",
    tag = "openai",
    params(("agent_id" = String, Path, description = "Id of the agent, or its name for clients.")),
    responses(
        (status = OK, description = "OpenAI's agent.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    // These stand beside agents in the API.
    if let Some(error) = unserved(&Method::GET, &format!("/v1/agents/{id}")) {
        return Err(error);
    }
    let agent = find(&gateway, &caller, Action::ReadAgent, &id).await?;
    Ok(Json(agent_json(&agent)))
}

/// What OpenAI's Agents API has and Steadfast does not: agents are applied to the cluster.
#[utoipa::path(
    post,
    path = "/v1/agents",
    operation_id = "create_openai_agent",
    tag = "openai",
    responses((status = BAD_REQUEST, description = "Not supported: apply an `Agent` to the cluster.", body = ErrorBody)),
)]
pub(in crate::api) async fn create() -> ApiError {
    not_supported("agents are applied to the cluster as Agent resources")
}

/// The same for a change of an agent.
#[utoipa::path(
    post,
    path = "/v1/agents/{agent_id}",
    operation_id = "update_openai_agent",
    tag = "openai",
    params(("agent_id" = String, Path, description = "Id of the agent.")),
    responses((status = BAD_REQUEST, description = "Not supported: apply an `Agent` to the cluster.", body = ErrorBody)),
)]
pub(in crate::api) async fn update(Path(id): Path<String>) -> ApiError {
    unserved(&Method::POST, &format!("/v1/agents/{id}"))
        .unwrap_or_else(|| not_supported("agents are changed in the cluster: apply the Agent resource"))
}

/// The same for the end of an agent.
#[utoipa::path(
    delete,
    path = "/v1/agents/{agent_id}",
    operation_id = "delete_openai_agent",
    tag = "openai",
    params(("agent_id" = String, Path, description = "Id of the agent.")),
    responses((status = BAD_REQUEST, description = "Not supported: delete the `Agent` of the cluster.", body = ErrorBody)),
)]
pub(in crate::api) async fn delete() -> ApiError {
    not_supported("agents are deleted in the cluster: delete the Agent resource")
}

/// The error for what OpenAI's APIs have and Steadfast does not; `None` for other paths.
pub(in crate::api) fn unserved(method: &Method, path: &str) -> Option<ApiError> {
    let Unserved { parameter, instead } = without_counterpart(method, path)?;
    let error = not_supported(instead);
    Some(match parameter {
        Some(parameter) => error.param(parameter),
        None => error,
    })
}

pub(super) fn not_supported(instead: &str) -> ApiError {
    ApiError::bad_request(format!("not supported by Steadfast: {instead}")).code("not_supported")
}

/// A client that names no version of the API gets this one.
pub(super) fn require_beta(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(BETA_HEADER) else {
        return Ok(());
    };
    let is_known = value
        .to_str()
        .is_ok_and(|value| value.split(',').any(|beta| beta.trim() == BETA));
    if is_known {
        Ok(())
    } else {
        Err(ApiError::bad_request(format!("the header OpenAI-Beta must name {BETA}")).code("invalid_beta"))
    }
}

/// The agent with an id of the API, or with a name.
pub(super) async fn find(
    gateway: &Gateway,
    caller: &Caller,
    action: Action,
    id: &str,
) -> Result<Arc<AgentEntry>, ApiError> {
    let agent = match id.parse() {
        Ok(AgentId(id)) => gateway.agents.by_id(&id.to_string()),
        Err(_) => gateway.agents.by_client_name(id),
    };
    gateway.agent(caller, action, agent).await
}

pub(super) fn agent_id(agent: &AgentEntry) -> String {
    AgentId(agent.id).to_string()
}

fn agent_json(agent: &AgentEntry) -> Value {
    let mut json = snapshot(agent);
    json["object"] = json!("agent");
    json["created_at"] = json!(agent.created_at.as_second());
    json["updated_at"] = json!(agent.updated_at.as_second());
    json["metadata"] = json!({"description": agent.description});
    json
}

/// An agent as a session shows it. Its instructions and tools are not for every caller.
pub(super) fn snapshot(agent: &AgentEntry) -> Value {
    json!({
        "id": agent_id(agent),
        "name": agent.client_name,
        "model": agent.model,
        "instructions": null,
        "tools": [],
        "reasoning": {"effort": null, "summary": null},
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "multi_agent": {"enabled": false, "max_concurrent_subagents": null},
        "service_tier": "auto",
        "compaction": null,
        "experimental": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beta_is_optional_and_must_be_this_one() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(BETA_HEADER, value.parse().unwrap());
            require_beta(&headers).is_ok()
        };
        assert!(require_beta(&HeaderMap::new()).is_ok());
        assert!(check("agents=v1") && check("assistants=v2, agents=v1"));
        assert!(!check("agents=v2"));
    }
}

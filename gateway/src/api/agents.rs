//! `/agents`: listing and reading agents.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    extractors::Params,
    paging::{OrderDirection, Page},
};
use crate::{
    access::{Action, Caller},
    agentex::wire,
    agents::AgentEntry,
    app::Gateway,
    error::{ApiError, ErrorBody},
};

/// Access reviews at a time, for one request.
const CONCURRENCY: usize = 16;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only the agent of the task with this id.
    task_id: Option<String>,
    /// `name` (the default), `created_at` or `updated_at`.
    #[param(value_type = Option<String>)]
    #[serde(default)]
    order_by: OrderBy,
    /// `asc` (the default) or `desc`.
    #[param(value_type = Option<String>)]
    order_direction: Option<OrderDirection>,
    // `#[serde(flatten)]` would read the numbers as strings.
    /// Entries of a page; 50 by default, and at most 1000.
    limit: Option<usize>,
    /// Counts from 1. Pages end at the 10,000th entry.
    page_number: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OrderBy {
    /// By namespace and name.
    #[default]
    Name,
    CreatedAt,
    UpdatedAt,
}

/// The agents that the caller may see.
#[utoipa::path(
    get,
    path = "/agents",
    operation_id = "list_agents",
    tag = "agents",
    params(Filter),
    responses(
        (status = OK, description = "A page of the agents.", body = Vec<wire::Agent>),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<wire::Agent>>, ApiError> {
    let page = Page::new(filter.limit, filter.page_number);
    page.bounds()?;
    let mut agents = visible(&gateway, &caller).await?;
    if let Some(task_id) = filter.task_id {
        let task = gateway.task(&caller, Action::ReadTasks, &task_id).await?;
        agents.retain(|agent| agent.name == task.agent);
    }
    // Those of one time stay in the order of their names.
    match filter.order_by {
        OrderBy::Name => {}
        OrderBy::CreatedAt => agents.sort_by_key(|agent| agent.created_at),
        OrderBy::UpdatedAt => agents.sort_by_key(|agent| agent.updated_at),
    }
    if filter.order_direction == Some(OrderDirection::Desc) {
        agents.reverse();
    }
    Ok(Json(page.apply(agents.iter().map(|agent| agent.to_wire()).collect())?))
}

/// One agent by id.
#[utoipa::path(
    get,
    path = "/agents/{agent_id}",
    operation_id = "get_agent",
    tag = "agents",
    params(("agent_id" = String, Path, description = "Id of the agent.")),
    responses(
        (status = OK, description = "The agent.", body = wire::Agent),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<wire::Agent>, ApiError> {
    let agent = gateway
        .agent(&caller, Action::ReadAgent, gateway.agents.by_id(&id))
        .await?;
    Ok(Json(agent.to_wire()))
}

/// One agent by name.
#[utoipa::path(
    get,
    path = "/agents/name/{agent_name}",
    operation_id = "get_agent_by_name",
    tag = "agents",
    params(("agent_name" = String, Path, description = "`name`, or `namespace.name` outside of the default namespace.")),
    responses(
        (status = OK, description = "The agent.", body = wire::Agent),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<wire::Agent>, ApiError> {
    let agent = gateway
        .agent(&caller, Action::ReadAgent, gateway.agents.by_client_name(&name))
        .await?;
    Ok(Json(agent.to_wire()))
}

/// The agents that the caller may see: one access review for each namespace, and one for each
/// agent of a namespace that the caller may not list.
pub(super) async fn visible(gateway: &Gateway, caller: &Caller) -> Result<Vec<Arc<AgentEntry>>, ApiError> {
    let mut namespaces: BTreeMap<String, Vec<Arc<AgentEntry>>> = BTreeMap::new();
    for agent in gateway.agents.list() {
        namespaces.entry(agent.name.namespace.clone()).or_default().push(agent);
    }
    let mut visible = Vec::new();
    for (namespace, agents) in namespaces {
        if gateway.access.may_list(caller, &namespace).await? {
            visible.extend(agents);
            continue;
        }
        let reviews = futures::stream::iter(agents).map(|agent| async move {
            let allowed = gateway.access.allows(caller, Action::ReadAgent, &agent.name).await?;
            Ok::<_, ApiError>(allowed.then_some(agent))
        });
        let allowed: Vec<Option<Arc<AgentEntry>>> = reviews.buffered(CONCURRENCY).try_collect().await?;
        visible.extend(allowed.into_iter().flatten());
    }
    Ok(visible)
}

//! `/agents`

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use futures::{StreamExt as _, TryStreamExt as _};

use super::page::Page;
use crate::{
    access::{Action, Caller},
    directory::AgentEntry,
    error::ApiError,
    gateway::Gateway,
    inbound::Params,
    wire,
};

/// Questions to the API server at a time, for one request.
const AT_ONCE: usize = 16;

/// The agents that the caller may see.
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(page): Params<Page>,
) -> Result<Json<Vec<wire::Agent>>, ApiError> {
    let agents = visible(&gateway, &caller).await?;
    Ok(Json(page.apply(agents.iter().map(AgentEntry::to_wire).collect())?))
}

pub async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<wire::Agent>, ApiError> {
    let agent = gateway
        .agent(&caller, Action::ReadAgent, gateway.directory.by_id(&id))
        .await?;
    Ok(Json(agent.to_wire()))
}

pub async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<wire::Agent>, ApiError> {
    let agent = gateway
        .agent(&caller, Action::ReadAgent, gateway.directory.by_client_name(&name))
        .await?;
    Ok(Json(agent.to_wire()))
}

/// One question per namespace, and one per agent where that is refused.
pub(super) async fn visible(gateway: &Gateway, caller: &Caller) -> Result<Vec<AgentEntry>, ApiError> {
    let mut namespaces: BTreeMap<String, Vec<AgentEntry>> = BTreeMap::new();
    for agent in gateway.directory.list() {
        namespaces.entry(agent.name.namespace.clone()).or_default().push(agent);
    }
    let mut visible = Vec::new();
    for (namespace, agents) in namespaces {
        if gateway.access.may_list(caller, &namespace).await? {
            visible.extend(agents);
            continue;
        }
        let questions = futures::stream::iter(agents).map(|agent| async move {
            let allowed = gateway.access.allows(caller, Action::ReadAgent, &agent.name).await?;
            Ok::<_, ApiError>(allowed.then_some(agent))
        });
        let allowed: Vec<Option<AgentEntry>> = questions.buffered(AT_ONCE).try_collect().await?;
        visible.extend(allowed.into_iter().flatten());
    }
    Ok(visible)
}

//! What the MCP servers of AgentTools offered, as the workers of the Agents that use them
//! say on their admin ports. Asks one ready worker of each such Agent now and then, and
//! reconciles a tool when the answer has changed. Connects to no host that a resource
//! names: the address of a pod is given by Kubernetes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use steadfast_contract::offers::{OFFERS_PATH, Offer, Offers};
use steadfast_crds::{
    AgentTool,
    agent_tool::McpToolStatus,
    conditions::{ConditionType, Reason},
    names::function_name,
};
use tokio::time::sleep;

use crate::{
    conditions::ConditionUpdate,
    kube::namespaced_name::NamespacedName,
    worker_admin::{WorkerAdmin, address_of, is_ready},
};

/// Longest answer: the bound of an offer, for the most tools that an Agent may have.
const MAXIMUM_ANSWER_BYTES: usize = 4 << 20;
/// Workers that are asked at the same time.
const CONCURRENCY: usize = 8;
/// Most problems in a status.
const MAXIMUM_PROBLEMS: usize = 8;

/// What is known of one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenOffer {
    /// The Agent whose worker saw it.
    agent: String,
    offer: Offer,
}

/// The last offer of each tool.
#[derive(Debug, Default)]
pub(crate) struct KnownOffers(Mutex<BTreeMap<NamespacedName, SeenOffer>>);

impl KnownOffers {
    /// The last offer of a tool.
    pub(crate) fn get(&self, tool: &NamespacedName) -> Option<SeenOffer> {
        self.lock().get(tool).cloned()
    }

    /// Stores what workers said; returns the tools for which it is new. A tool of which nobody says anything keeps its
    /// last offer while it exists.
    fn update(
        &self,
        seen: BTreeMap<NamespacedName, SeenOffer>,
        existing: &BTreeSet<NamespacedName>,
    ) -> Vec<NamespacedName> {
        let mut known = self.lock();
        known.retain(|tool, _| existing.contains(tool));
        let changed = seen
            .into_iter()
            .filter(|(tool, seen)| known.get(tool) != Some(seen))
            .collect::<Vec<_>>();
        let names = changed.iter().map(|(tool, _)| tool.clone()).collect();
        known.extend(changed);
        names
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, SeenOffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The condition and the status of a tool whose server was seen.
pub(crate) fn assess(tool: &AgentTool, seen: &SeenOffer) -> (ConditionUpdate, McpToolStatus) {
    let SeenOffer { agent, offer } = seen;
    let offer = offer.clone().bounded();
    let selects_some = tool.spec.mcp.as_ref().is_some_and(|mcp| !mcp.tools.is_empty());
    let missing = offer.missing.join(", ");
    let not_met = |reason, message| ConditionUpdate::not_met(ConditionType::ToolsOffered, reason, message);
    let condition = if let Some(failure) = &offer.failure {
        not_met(Reason::ServerUnavailable, failure.clone())
    } else if !missing.is_empty() {
        not_met(
            Reason::SelectedToolMissing,
            format!("the server does not offer, or not in a form that can be used: {missing}"),
        )
    } else if offer.count == 0 && !selects_some {
        not_met(
            Reason::NoUsableTool,
            "the server offers no tool that can be used".to_owned(),
        )
    } else {
        let message = match offer.problems.len() {
            0 => "the server offers every tool that is selected".to_owned(),
            _ => "the server offers every tool that is selected; status.mcp.problems names others that are left out"
                .to_owned(),
        };
        ConditionUpdate::met(ConditionType::ToolsOffered, Reason::Offered, message)
    };
    let missing = offer
        .missing
        .iter()
        .map(|name| format!("the server does not offer the selected tool {name:?}"));
    let mut problems: Vec<String> = offer
        .failure
        .iter()
        .cloned()
        .chain(missing)
        .chain(offer.problems)
        .collect();
    problems.truncate(MAXIMUM_PROBLEMS);
    let status = McpToolStatus {
        agent: agent.clone(),
        offered: offer.tools,
        offered_count: offer.count,
        problems,
    };
    (condition, status)
}

/// What the workers are asked about: the tools of kind `mcp`, each with the pods of the Agents that use it.
pub(crate) trait Sources: Send + Sync + 'static {
    /// The names of all tools of kind `mcp`.
    fn mcp_tools(&self) -> BTreeSet<NamespacedName>;
    /// The Agents that use a tool, in order.
    fn agents_with(&self, tool: &NamespacedName) -> Vec<NamespacedName>;
    /// The pods of an Agent's workers.
    fn pods_of(&self, agent: &NamespacedName) -> Vec<Arc<Pod>>;
}

/// Asks workers, and hands the tools with a new offer to `wake`. Never ends.
pub(crate) async fn keep_asking(
    sources: impl Sources,
    known: Arc<KnownOffers>,
    (port, interval): (i32, Duration),
    wake: impl Fn(Vec<NamespacedName>) + Send + Sync + 'static,
) {
    let Ok(client) = WorkerAdmin::new(port) else {
        tracing::error!("no HTTP client: the status of AgentTools will not say what MCP servers offer");
        return futures::future::pending().await;
    };
    loop {
        let tools = sources.mcp_tools();
        let seen = ask_all(&sources, &client, &tools).await;
        let changed = known.update(seen, &tools);
        if !changed.is_empty() {
            wake(changed);
        }
        sleep(interval).await;
    }
}

async fn ask_all(
    sources: &impl Sources,
    client: &WorkerAdmin,
    tools: &BTreeSet<NamespacedName>,
) -> BTreeMap<NamespacedName, SeenOffer> {
    let users: BTreeMap<&NamespacedName, Vec<NamespacedName>> =
        tools.iter().map(|tool| (tool, sources.agents_with(tool))).collect();
    let agents: BTreeSet<&NamespacedName> = users.values().flatten().collect();
    let workers: Vec<(NamespacedName, IpAddr)> = agents
        .into_iter()
        .filter_map(|agent| Some((agent.clone(), ready_address(&sources.pods_of(agent))?)))
        .collect();
    // One worker answers for all Agents of a pool.
    let addresses: BTreeSet<IpAddr> = workers.iter().map(|(_, address)| *address).collect();
    let by_address: BTreeMap<IpAddr, Arc<Offers>> = stream::iter(addresses)
        .map(|address| async move {
            let offers = client.get(address, OFFERS_PATH, MAXIMUM_ANSWER_BYTES).await;
            if let Err(error) = &offers {
                tracing::debug!(%address, error = error as &dyn std::error::Error, "a worker did not say what its MCP servers offer");
            }
            Some((address, Arc::new(offers.ok()?)))
        })
        .buffer_unordered(CONCURRENCY)
        .filter_map(futures::future::ready)
        .collect()
        .await;
    let answers: BTreeMap<NamespacedName, Arc<Offers>> = workers
        .into_iter()
        .filter_map(|(agent, address)| Some((agent, Arc::clone(by_address.get(&address)?))))
        .collect();
    let seen = users
        .into_iter()
        .filter_map(|(tool, users)| Some((tool.clone(), best_offer(tool, &users, &answers)?)));
    seen.collect()
}

/// The offer that a status tells: a failure of one Agent rather than the success of another, so that it is seen.
fn best_offer(
    tool: &NamespacedName,
    users: &[NamespacedName],
    answers: &BTreeMap<NamespacedName, Arc<Offers>>,
) -> Option<SeenOffer> {
    let name = function_name(&tool.name);
    let offers = users.iter().filter_map(|agent| {
        let offer = answers.get(agent)?.servers.get(&name)?;
        Some(SeenOffer {
            agent: agent.name.clone(),
            offer: offer.clone(),
        })
    });
    // The first of those that are equally bad.
    offers.min_by_key(|seen| {
        let offer = &seen.offer;
        (
            offer.failure.is_none(),
            offer.missing.is_empty(),
            offer.problems.is_empty(),
        )
    })
}

/// The address of the first ready pod.
fn ready_address(pods: &[Arc<Pod>]) -> Option<IpAddr> {
    let mut ready: Vec<&Pod> = pods
        .iter()
        .map(AsRef::as_ref)
        .filter(|pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod))
        .collect();
    ready.sort_by_key(|pod| pod.metadata.name.clone());
    ready.into_iter().find_map(address_of)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(selected: &serde_json::Value) -> AgentTool {
        serde_json::from_value(json!({
            "metadata": {"name": "docs", "namespace": "team"},
            "spec": {"description": "d", "mcp": {"url": "http://docs/mcp", "tools": selected}},
        }))
        .unwrap()
    }

    fn offer(tools: &[&str], missing: &[&str], problems: &[&str], failure: Option<&str>) -> Offer {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Offer {
            tools: own(tools),
            count: u32::try_from(tools.len()).unwrap(),
            missing: own(missing),
            failure: failure.map(str::to_owned),
            problems: own(problems),
        }
    }

    fn assessed(selected: &serde_json::Value, offer: Offer) -> (&'static str, Reason, Vec<String>) {
        let seen = SeenOffer {
            agent: "a".to_owned(),
            offer,
        };
        let (condition, status) = assess(&tool(selected), &seen);
        (condition.status.as_str(), condition.reason, status.problems)
    }

    #[test]
    fn the_condition_says_what_the_server_does_not_offer() {
        let all = json!([]);
        let none: Vec<String> = Vec::new();
        assert_eq!(
            assessed(&all, offer(&["x"], &[], &[], None)),
            ("True", Reason::Offered, none.clone())
        );
        let left_out = offer(&["x"], &[], &["y is left out"], None);
        assert_eq!(
            assessed(&all, left_out),
            ("True", Reason::Offered, vec!["y is left out".to_owned()])
        );
        assert_eq!(
            assessed(&all, offer(&[], &[], &[], None)),
            ("False", Reason::NoUsableTool, none)
        );
        let (status, reason, problems) = assessed(&json!([{"name": "gone"}]), offer(&["x"], &["gone"], &[], None));
        assert_eq!((status, reason), ("False", Reason::SelectedToolMissing));
        assert_eq!(problems, ["the server does not offer the selected tool \"gone\""]);
        let (status, reason, _) = assessed(&all, offer(&[], &[], &[], Some("cannot reach docs")));
        assert_eq!((status, reason), ("False", Reason::ServerUnavailable));
    }

    #[test]
    fn a_status_stays_small_whatever_a_worker_says() {
        let long = "x".repeat(10_000);
        let many: Vec<&str> = (0..500).map(|_| long.as_str()).collect();
        let seen = SeenOffer {
            agent: "a".to_owned(),
            offer: offer(&many, &many, &many, Some(&long)),
        };
        let (_, status) = assess(&tool(&json!([])), &seen);
        assert!(serde_json::to_string(&status).unwrap().len() < 24 * 1024);
    }

    #[test]
    fn the_worst_offer_is_told_and_only_a_new_one_wakes_the_tool() {
        let name = |name: &str| NamespacedName::new("team", name);
        let answer = |offer: Offer| {
            Arc::new(Offers {
                servers: BTreeMap::from([("my_docs".to_owned(), offer)]),
            })
        };
        let answers = BTreeMap::from([
            (name("good"), answer(offer(&["x"], &[], &[], None))),
            (name("bad"), answer(offer(&[], &[], &[], Some("no")))),
        ]);
        let docs = name("my-docs");
        let users = [name("bad"), name("good"), name("silent")];
        let seen = best_offer(&docs, &users, &answers).unwrap();
        assert_eq!(seen.agent, "bad");
        assert_eq!(best_offer(&docs, &users[2..], &answers), None);

        let known = KnownOffers::default();
        let existing = BTreeSet::from([docs.clone()]);
        let seen = BTreeMap::from([(docs.clone(), seen)]);
        assert_eq!(known.update(seen.clone(), &existing), std::slice::from_ref(&docs));
        assert_eq!(known.update(seen, &existing), []);
        assert_eq!(known.update(BTreeMap::new(), &existing), []);
        assert!(known.get(&docs).is_some(), "nobody says anything");
        known.update(BTreeMap::new(), &BTreeSet::new());
        assert_eq!(known.get(&docs), None);
    }

    #[test]
    fn only_a_ready_pod_is_asked() {
        let pod = |name: &str, ready: &str, address: &str| {
            let pod = json!({
                "metadata": {"name": name},
                "status": {"podIP": address, "conditions": [{"type": "Ready", "status": ready}]},
            });
            Arc::new(serde_json::from_value::<Pod>(pod).unwrap())
        };
        let pods = [
            pod("c", "True", "10.0.0.3"),
            pod("a", "False", "10.0.0.1"),
            pod("b", "True", "10.0.0.2"),
        ];
        assert_eq!(ready_address(&pods), Some("10.0.0.2".parse().unwrap()));
        assert_eq!(ready_address(&pods[1..2]), None);
    }
}

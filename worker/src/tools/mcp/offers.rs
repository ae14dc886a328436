//! What the servers of this worker's agents last offered: the admin port answers with it, and
//! the operator writes it into the status of the AgentTools.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use steadfast_contract::offers::{Offer, Offers};
use steadfast_crds::{AgentRevisionSpec, agent_tool::McpTool};
use tokio::time::sleep;

use super::{McpClient, listing::Listing};
use crate::{failure::CallFailure, revisions::Revisions};

/// Interval in which a new revision is noticed.
const REVISION_INTERVAL: Duration = Duration::from_secs(5);
/// Interval in which the servers are asked while nobody uses them, in intervals of the revision: 5 minutes.
const IDLE_INTERVALS: u32 = 60;

/// Agents whose servers are asked at the same time: one slow server must not keep those of the other agents waiting.
const CONCURRENT_AGENTS: usize = 8;

/// The last offers of each agent, shared by the client and the admin server. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastOffers(Arc<Mutex<BTreeMap<String, Offers>>>);

impl LastOffers {
    /// The offers now, by server. Where two agents have seen a server otherwise, a failure is told rather than a success,
    /// so that it is seen.
    pub(crate) fn report(&self) -> Offers {
        let mut servers: BTreeMap<String, Offer> = BTreeMap::new();
        for (name, offer) in self.lock().values().flat_map(|offers| &offers.servers) {
            let known = servers.get(name);
            if known.is_none_or(|known| rank(offer) < rank(known)) {
                servers.insert(name.clone(), offer.clone());
            }
        }
        Offers { servers }
    }

    /// Replaces the offers of an agent by those of its revision.
    pub(super) fn replace(&self, agent: &str, offers: Offers) {
        let mut known = self.lock();
        if offers.servers.is_empty() {
            known.remove(agent);
        } else {
            known.insert(agent.to_owned(), offers);
        }
    }

    /// Forgets all other agents.
    fn retain(&self, agents: &BTreeSet<&str>) {
        self.lock().retain(|agent, _| agents.contains(agent.as_str()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Offers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rank(offer: &Offer) -> (bool, bool, bool) {
    (
        offer.failure.is_none(),
        offer.missing.is_empty(),
        offer.problems.is_empty(),
    )
}

/// The offer of one server.
pub(super) fn offer(settings: &McpTool, listing: &Result<Arc<Listing>, CallFailure>) -> Offer {
    let listing = match listing {
        Ok(listing) => listing,
        Err(failure) => {
            let failure = Some(failure.message.clone());
            return Offer {
                failure,
                ..Offer::default()
            }
            .bounded();
        }
    };
    let selected = settings.tools.iter().map(|selected| selected.name.as_str());
    let missing = selected.filter(|name| listing.tool(name).is_none());
    Offer {
        tools: listing.tools.iter().map(|tool| tool.name.clone()).collect(),
        count: u32::try_from(listing.tools.len()).unwrap_or(u32::MAX),
        missing: missing.map(str::to_owned).collect(),
        failure: None,
        problems: listing.problems.clone(),
    }
    .bounded()
}

/// Asks the servers of each new revision, and now and then without one, so that their state is known before anybody
/// uses them. Never ends.
pub(crate) async fn keep_asking(client: McpClient, revisions: Revisions) {
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    loop {
        // In a directory that cannot be read nothing is new.
        if let Ok(all) = revisions.all() {
            let agents: BTreeSet<&str> = all.iter().map(|revision| revision.spec.agent.as_str()).collect();
            asked.retain(|agent, _| agents.contains(agent.as_str()));
            client.offers.retain(&agents);
            let due: Vec<_> = all
                .iter()
                .filter(|revision| is_due(&mut asked, &revision.spec))
                .collect();
            stream::iter(due)
                .for_each_concurrent(CONCURRENT_AGENTS, |revision| async {
                    client.listed_tools(&revision.spec).await;
                })
                .await;
        }
        sleep(REVISION_INTERVAL).await;
    }
}

/// When the servers of an agent were asked.
struct Asked {
    sequence: i64,
    intervals: u32,
}

/// Whether the servers of a revision are to be asked now; counts the intervals.
fn is_due(asked: &mut BTreeMap<String, Asked>, revision: &AgentRevisionSpec) -> bool {
    if let Some(asked) = asked.get_mut(&revision.agent) {
        asked.intervals += 1;
        if asked.sequence == revision.sequence && asked.intervals < IDLE_INTERVALS {
            return false;
        }
    }
    let now = Asked {
        sequence: revision.sequence,
        intervals: 0,
    };
    asked.insert(revision.agent.clone(), now);
    revision.tools.iter().any(|tool| tool.spec.mcp.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offers(failure: Option<&str>) -> Offers {
        let offer = Offer {
            failure: failure.map(str::to_owned),
            ..Offer::default()
        };
        Offers {
            servers: BTreeMap::from([("docs".to_owned(), offer)]),
        }
    }

    #[test]
    fn what_one_agent_sees_hides_nothing_that_another_sees() {
        let last = LastOffers::default();
        last.replace("a", offers(Some("away")));
        last.replace("b", offers(None));
        assert_eq!(last.report(), offers(Some("away")));
        last.retain(&BTreeSet::from(["b"]));
        assert_eq!(last.report(), offers(None));
        last.replace("b", Offers::default());
        assert_eq!(last.report(), Offers::default());
    }

    #[test]
    fn servers_are_asked_for_each_new_revision_and_now_and_then() {
        let revision = |sequence: i64| {
            let tool = json!({
                "name": "docs",
                "spec": {"description": "d", "mcp": {"url": "http://docs.team/mcp"}},
            });
            let revision = json!({
                "agent": "a", "sequence": sequence, "model": {"name": "m"}, "taskQueue": "q", "tools": [tool],
            });
            serde_json::from_value::<AgentRevisionSpec>(revision).unwrap()
        };
        let mut asked = BTreeMap::new();
        assert!(is_due(&mut asked, &revision(1)));
        assert!(!is_due(&mut asked, &revision(1)));
        assert!(is_due(&mut asked, &revision(2)));
        let idle = (0..IDLE_INTERVALS).filter(|_| is_due(&mut asked, &revision(2))).count();
        assert_eq!(idle, 1);
    }
}

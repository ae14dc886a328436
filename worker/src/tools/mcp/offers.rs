//! What the servers of this worker's agent last offered: the admin port answers with it, and
//! the operator writes it into the status of the AgentTools.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use steadfast_contract::offers::{Offer, Offers};
use steadfast_crds::agent_tool::McpTool;
use tokio::time::sleep;

use super::{McpClient, listing::Listing};
use crate::{failure::CallFailure, revisions::Revisions};

/// Interval in which a new revision is noticed.
const REVISION_INTERVAL: Duration = Duration::from_secs(5);
/// Interval in which the servers are asked while nobody uses them, in intervals of the revision: 5 minutes.
const IDLE_INTERVALS: u32 = 60;

/// The last offers, shared by the client and the admin server. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastOffers(Arc<Mutex<Offers>>);

impl LastOffers {
    /// The offers now.
    pub(crate) fn report(&self) -> Offers {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the offers by those of a revision.
    pub(super) fn replace(&self, offers: Offers) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = offers;
    }
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
pub(crate) async fn keep_asking(client: McpClient, revisions: Revisions, agent: String) {
    let mut asked = None;
    let mut intervals = 0;
    loop {
        if let Ok(revision) = revisions.newest(&agent)
            && (asked != Some(revision.spec.sequence) || intervals >= IDLE_INTERVALS)
        {
            asked = Some(revision.spec.sequence);
            intervals = 0;
            if revision.spec.tools.iter().any(|tool| tool.spec.mcp.is_some()) {
                client.listed_tools(&revision.spec).await;
            }
        }
        sleep(REVISION_INTERVAL).await;
        intervals += 1;
    }
}

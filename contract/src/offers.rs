//! What the MCP servers of an Agent last offered, as one of its workers saw it. A worker answers
//! with it on its admin port, and the operator writes it into the status of the AgentTools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The path on the admin port of a worker.
pub const OFFERS_PATH: &str = "/mcp-offers";
/// Most names of tools in an offer.
pub const MAXIMUM_NAMES: usize = 64;
/// Most problems in an offer.
pub const MAXIMUM_PROBLEMS: usize = 8;
/// Longest name, and longest problem, in bytes.
pub const MAXIMUM_TEXT_BYTES: usize = 256;

/// The offers of the servers of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// By the name of the server's tool in the revision.
    #[serde(default)]
    pub servers: BTreeMap<String, Offer>,
}

/// The last offer of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The names of the tools on the server that an agent can use, in order; the first ones of many.
    #[serde(default)]
    pub tools: Vec<String>,
    /// How many there are.
    #[serde(default)]
    pub count: u32,
    /// Selected tools that the server does not offer.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Why the server has not been listed; absent if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Why other tools cannot be used.
    #[serde(default)]
    pub problems: Vec<String>,
}

impl Offer {
    /// The same within the bounds.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.tools.sort();
        self.tools.truncate(MAXIMUM_NAMES);
        self.missing.truncate(MAXIMUM_PROBLEMS);
        self.problems.truncate(MAXIMUM_PROBLEMS);
        let texts = self.tools.iter_mut().chain(&mut self.missing).chain(&mut self.problems);
        for text in texts.chain(self.failure.as_mut()) {
            text.truncate(text.floor_char_boundary(MAXIMUM_TEXT_BYTES));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_of_any_size_is_bounded() {
        let many = |count: usize| {
            (0..count)
                .map(|number| format!("{number}{}", "é".repeat(400)))
                .collect::<Vec<_>>()
        };
        let offer = Offer {
            tools: many(1_000),
            count: 1_000,
            missing: many(100),
            failure: Some("x".repeat(10_000)),
            problems: many(100),
        };
        let bounded = offer.bounded();
        assert_eq!(bounded.tools.len(), MAXIMUM_NAMES);
        assert_eq!(bounded.count, 1_000);
        assert!(serde_json::to_string(&bounded).unwrap().len() < 32 * 1024);
    }
}

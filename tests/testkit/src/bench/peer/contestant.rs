//! Who takes part. Pure.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A worker that does the same work as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// The leanest worker with Temporal's plugin for the OpenAI Agents SDK.
    Python,
    /// The same with the plugin's successor, whose tokens travel through the workflow.
    WorkflowStream,
    /// Agentex's own worker.
    Agentex,
    /// This checkout.
    ThisBuild,
    /// An earlier commit of this project.
    Before,
}

impl Contestant {
    pub const ALL: [Self; 5] = [
        Self::Python,
        Self::WorkflowStream,
        Self::Agentex,
        Self::ThisBuild,
        Self::Before,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::WorkflowStream => "workflow-stream",
            Self::Agentex => "agentex",
            Self::ThisBuild => "this-build",
            Self::Before => "before",
        }
    }

    /// Whether it is a build of this project.
    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Self::ThisBuild | Self::Before)
    }

    /// Whether an entry of its log tells the end of the turn. Agentex has no such entry: the end of the agent's text
    /// takes its place.
    pub(super) fn ends_with(self, entry: &[u8]) -> bool {
        let contains = |text: &[u8]| entry.windows(text.len()).any(|window| window == text);
        match self {
            Self::Agentex => contains(br#""type": "done""#) || contains(br#""type":"done""#),
            _ => contains(b"turn_ended"),
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Contestant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no contestant; they are {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contestant_is_found_by_its_name_and_an_error_names_all() {
        for contestant in Contestant::ALL {
            assert_eq!(contestant.to_string().parse(), Ok(contestant));
        }
        assert!(
            "pytorch"
                .parse::<Contestant>()
                .unwrap_err()
                .contains("python, workflow-stream")
        );
    }

    #[test]
    fn the_end_of_a_turn_is_seen_in_each_log() {
        assert!(Contestant::ThisBuild.ends_with(br#"{"type":"turn_ended","turn":1}"#));
        assert!(Contestant::Agentex.ends_with(br#"{"type": "done", "index": null}"#));
        assert!(!Contestant::Agentex.ends_with(br#"{"type": "full", "index": null}"#));
        assert!(!Contestant::Python.ends_with(br#"{"type": "message_delta", "text": "done"}"#));
    }
}

//! A script: the messages of a conversation, and what to expect.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;
use steadfast_crds::{Duration, yaml};
use steadfast_events::TurnStatus;

/// The directory of scripts beside the manifests.
pub(super) const DIRECTORY: &str = "tests";
const DEFAULT_TIMEOUT_SECONDS: u64 = 60;

/// One conversation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Script {
    /// The name of the file, without its ending.
    #[serde(skip)]
    pub(super) name: String,
    /// The Agent; the first one of the manifests when absent.
    #[serde(default)]
    pub(super) agent: Option<String>,
    /// The longest time that a turn may take.
    #[serde(default = "default_timeout")]
    pub(super) timeout: Duration,
    pub(super) turns: Vec<Turn>,
}

/// One message, and what follows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Turn {
    pub(super) message: String,
    /// All tool calls of the turn, in order; not compared when absent.
    #[serde(default)]
    pub(super) calls: Option<Vec<Call>>,
    /// Decisions of a person. An approval that is not here is rejected, and the script fails.
    #[serde(default)]
    pub(super) approvals: Vec<Approval>,
    #[serde(default)]
    pub(super) answer: Answer,
    /// How the turn ends.
    #[serde(default)]
    pub(super) status: Status,
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Call {
    /// The name that the model sees.
    pub(super) tool: String,
    /// Members that the arguments must have; others may be there too.
    #[serde(default)]
    pub(super) arguments: Value,
}

/// The decision of an approval.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Approval {
    /// The tool that asks.
    pub(super) tool: String,
    pub(super) decision: Decision,
    #[serde(default)]
    pub(super) reason: String,
    /// The answer of an approval with a form.
    #[serde(default)]
    pub(super) answer: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Decision {
    Approve,
    Reject,
}

/// What the text of the turn must be. All members that are present count.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) equals: Option<String>,
    #[serde(default)]
    pub(super) contains: Vec<String>,
    #[serde(default)]
    pub(super) excludes: Vec<String>,
}

/// How a turn ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    #[default]
    Completed,
    Failed,
}

impl Status {
    pub(super) fn is(self, status: TurnStatus) -> bool {
        match self {
            Self::Completed => status == TurnStatus::Completed,
            Self::Failed => status == TurnStatus::Failed,
        }
    }
}

const fn default_timeout() -> Duration {
    Duration::from_seconds(DEFAULT_TIMEOUT_SECONDS)
}

impl Script {
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let mut script = parse(&text).with_context(|| format!("{}: not a script", file.display()))?;
        script.name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(script)
    }
}

fn parse(text: &str) -> anyhow::Result<Script> {
    let script: Script = yaml::from_str(text)?;
    if script.turns.is_empty() {
        bail!("a script needs turns");
    }
    Ok(script)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn turn(text: &str) -> Turn {
        let turns = parse(&format!("turns: [{text}]")).unwrap().turns;
        turns.into_iter().next().unwrap()
    }

    #[test]
    fn a_script_has_defaults_and_no_unknown_members() {
        let script = parse("turns: [{message: hi}]").unwrap();
        assert_eq!(script.timeout, Duration::from_seconds(60));
        assert_eq!(
            (script.turns[0].calls.clone(), script.turns[0].status),
            (None, Status::Completed)
        );
        let unknown = parse("turns: [{message: hi, tools: []}]").unwrap_err();
        assert!(unknown.to_string().contains("tools"), "{unknown}");
        assert!(parse("turns: []").is_err());
    }
}

//! Fixtures: which response belongs to which conversation. Pure.

use std::{collections::VecDeque, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::conversation::Conversation;

/// Characters per piece of a text that names no size.
const CHUNK_CHARACTERS: usize = 20;

/// A fixtures file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the fixtures cannot be read")]
pub struct FixtureError(#[from] serde_json::Error);

/// Fixtures of several agents; the first match counts.
#[derive(Clone, Debug, Default)]
pub struct Fixtures(Vec<Fixture>);

/// One match and its response.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fixture {
    #[serde(rename = "match")]
    matches: Match,
    response: Response,
    /// Characters per piece of the text.
    #[serde(default)]
    chunk_size: Option<usize>,
    /// Milliseconds before each piece.
    #[serde(default)]
    latency: u64,
}

/// All members that are present must match.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Match {
    /// A part of the instructions.
    system_message: Option<String>,
    /// A part of the last message of the user.
    user_message: Option<String>,
    /// Whether a tool has answered since the last message of the user.
    has_tool_result: Option<bool>,
    /// A part of the last tool result.
    tool_result_contains: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    reasoning: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    tool_calls: Vec<ToolCall>,
    #[serde(default)]
    usage: Usage,
}

/// A call that the model makes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) arguments: Map<String, Value>,
}

/// The tokens that a response reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Usage {
    #[serde(default)]
    pub(crate) input_tokens: u64,
    #[serde(default)]
    pub(crate) output_tokens: u64,
}

/// What the model answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) reasoning: Vec<String>,
    pub(crate) text: Vec<String>,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) usage: Usage,
    /// The pause before each piece.
    pub(crate) pause: Duration,
}

#[derive(Deserialize)]
struct File {
    fixtures: Vec<Fixture>,
}

impl Fixtures {
    /// Adds the fixtures of a file, after those that are there.
    pub fn add(&mut self, file: &str) -> Result<(), FixtureError> {
        let File { fixtures } = serde_json::from_str(file)?;
        self.0.extend(fixtures);
        Ok(())
    }

    /// Whether there are no fixtures.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The answer of the first fixture that matches, or else an echo.
    pub(crate) fn answer(&self, conversation: &Conversation) -> Answer {
        let found = self.0.iter().find(|fixture| fixture.matches.fits(conversation));
        found.map_or_else(|| echo(conversation), Fixture::answer)
    }
}

impl Match {
    fn fits(&self, conversation: &Conversation) -> bool {
        let contains = |part: &Option<String>, whole: &str| part.as_ref().is_none_or(|part| whole.contains(part));
        contains(&self.system_message, &conversation.instructions)
            && contains(&self.user_message, &conversation.last_user_message)
            && self
                .has_tool_result
                .is_none_or(|expected| expected == conversation.last_tool_result.is_some())
            && contains(
                &self.tool_result_contains,
                conversation.last_tool_result.as_deref().unwrap_or_default(),
            )
    }
}

impl Fixture {
    fn answer(&self) -> Answer {
        let size = self.chunk_size.unwrap_or(CHUNK_CHARACTERS).max(1);
        Answer {
            reasoning: pieces(&self.response.reasoning, size),
            text: pieces(&self.response.content, size),
            tool_calls: self.response.tool_calls.clone(),
            usage: self.response.usage,
            pause: Duration::from_millis(self.latency),
        }
    }
}

fn echo(conversation: &Conversation) -> Answer {
    let said = &conversation.last_user_message;
    let text = format!(
        "I am a stand-in for a model and can only repeat what you said: {said}\nSet the API key of a real model to \
         get an answer."
    );
    Answer {
        reasoning: Vec::new(),
        text: pieces(&text, CHUNK_CHARACTERS),
        tool_calls: Vec::new(),
        usage: Usage::default(),
        pause: Duration::ZERO,
    }
}

/// Pieces of at most this many characters.
fn pieces(text: &str, size: usize) -> Vec<String> {
    let mut rest: VecDeque<char> = text.chars().collect();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        pieces.push(rest.drain(..size.min(rest.len())).collect());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(user: &str, result: Option<&str>) -> Conversation {
        Conversation {
            instructions: "You are the weather desk.".to_owned(),
            last_user_message: user.to_owned(),
            last_tool_result: result.map(str::to_owned),
        }
    }

    fn fixtures() -> Fixtures {
        let mut fixtures = Fixtures::default();
        fixtures
            .add(
                r#"{"fixtures": [
                    {"match": {"systemMessage": "weather desk", "userMessage": "Oslo", "hasToolResult": false},
                     "response": {"toolCalls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}},
                    {"match": {"toolResultContains": "rain"}, "response": {"content": "Wet."}, "chunkSize": 2}
                ]}"#,
            )
            .unwrap();
        fixtures
    }

    #[test]
    fn the_first_fixture_that_matches_answers() {
        let call = fixtures().answer(&conversation("How is Oslo?", None));
        assert_eq!(call.tool_calls[0].name, "get_weather");
        let text = fixtures().answer(&conversation("How is Oslo?", Some("rain")));
        assert_eq!(text.text, ["We", "t."]);
    }

    #[test]
    fn without_a_match_the_stand_in_says_what_it_is() {
        let text = fixtures().answer(&conversation("Hello.", None)).text.concat();
        assert!(text.starts_with("I am a stand-in") && text.contains("Hello."), "{text}");
    }

    #[test]
    fn an_unknown_kind_of_match_is_an_error() {
        let mut fixtures = Fixtures::default();
        let file = r#"{"fixtures": [{"match": {"moonPhase": "full"}, "response": {}}]}"#;
        assert!(fixtures.add(file).is_err());
    }
}

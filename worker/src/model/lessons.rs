//! Reads what the refusal of a request teaches: a parameter that the server does not know, or a form of the conversation
//! that it does not take. Servers say it in different words; each form here was read in reports about a real server. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::dialect::{Habit, Lesson};
use crate::failure::Refusal;

/// What a refused request had in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    /// The members of the body without the conversation.
    pub members: &'a Map<String, Value>,
    /// The names of the server's own members on messages and calls.
    pub of_messages: &'a BTreeSet<String>,
}

/// Members without which the request means something else: their refusal is an error.
const ESSENTIAL: [&str; 6] = ["model", "stream", "input", "messages", "tools", "instructions"];
/// Names that are also words: they count only in quotes.
const WORDS: [&str; 9] = [
    "include",
    "store",
    "text",
    "reasoning",
    "user",
    "metadata",
    "truncation",
    "verbosity",
    "thinking",
];
/// Words of a refusal, in lower case.
const REFUSING: [&str; 18] = [
    "unsupported",
    "not support",
    "n't support",
    "unrecognized",
    "unknown",
    "extra input",
    "extra_forbidden",
    "not permitted",
    "not allowed",
    "cannot find field",
    "unexpected",
    "extraneous",
    "deprecated",
    "unavailable",
    "not available",
    "only the default",
    "is allowed for this model",
    "must be verified",
];

/// The lesson of a refusal, if it has one.
pub(crate) fn lesson(refusal: &Refusal, sent: Sent<'_>) -> Option<Lesson> {
    if matches!(refusal.status, 401 | 403 | 408 | 409 | 429 | 502..=504) {
        return None;
    }
    let said = Said::new(&refusal.body);
    form_of_conversation(&said.text, sent)
        .or_else(|| refused_of_messages(&said, sent))
        .or_else(|| refused_member(&said, sent))
}

/// What a server said, and the members that it named.
struct Said {
    /// In lower case, without the escapes of JSON inside of JSON.
    text: String,
    /// Paths of members: `param` of OpenAI, `loc` of Pydantic.
    paths: Vec<String>,
}

impl Said {
    fn new(body: &str) -> Self {
        // Gateways wrap the answer of a server into a text of their own.
        let text = body.replace("\\\"", "\"").replace("\\n", " ").replace('\\', "");
        let mut paths = Vec::new();
        if let Ok(body) = serde_json::from_str::<Value>(body) {
            locations(&body, &mut paths);
        }
        for (start, _) in text.match_indices("\"param\"") {
            let value = text[start + "\"param\"".len()..].trim_start_matches([':', ' ']);
            if let Some((path, _)) = value.strip_prefix('"').and_then(|value| value.split_once('"')) {
                paths.push(path.to_owned());
            }
        }
        paths.retain(|path| !path.is_empty());
        Self {
            text: text.to_lowercase(),
            paths,
        }
    }

    fn refuses(&self) -> bool {
        REFUSING.iter().any(|words| self.text.contains(words))
    }
}

/// The `loc` members of Pydantic's errors, at any depth: `["body", "stream_options"]` is the path `stream_options`.
fn locations(value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| locations(value, paths)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::Array(parts) if name == "loc" => {
                        let parts = parts.iter().map(|part| match part {
                            Value::String(part) => part.clone(),
                            part => part.to_string(),
                        });
                        paths.push(parts.skip_while(|part| part == "body").collect::<Vec<_>>().join("."));
                    }
                    value => locations(value, paths),
                }
            }
        }
        _ => {}
    }
}

/// Forms of the conversation that a server wants.
fn form_of_conversation(text: &str, sent: Sent<'_>) -> Option<Lesson> {
    let has = |words: &[&str]| words.iter().all(|word| text.contains(word));
    let habit = if has(&["reasoning_content", "passed back"])
        || has(&["reasoning_content", "missing"])
        || has(&["reasoning_content", "required"])
    {
        // DeepSeek; Kimi.
        Habit::ReasoningInEveryAnswer
    } else if has(&["thought_signature", "missing"]) {
        // Gemini.
        Habit::ThoughtSignatures
    } else if has(&["tool call id", "length of 9"]) || has(&["tool call ids", "length 9"]) {
        // Mistral, and the templates of its models.
        Habit::NineCharacterIds
    } else if has(&["role 'user' after role 'tool'"]) || has(&["role \"user\" after role \"tool\""]) {
        Habit::AnswerAfterTools
    } else if has(&["content type: <nil>"])
        || has(&["'content'", "got null"])
        || has(&["content", "none is not"])
        || has(&["messages", "content", "must be a string"])
        || has(&["messages", "content", "valid string"])
    {
        // Ollama; strict proxies.
        Habit::TextInEveryMessage
    } else if has(&["system role not supported"]) || has(&["system role is not supported"]) {
        // The template of Gemma.
        Habit::NoSystemRole
    } else if has(&["encrypted content is not supported"]) && sent.members.contains_key("include") {
        // OpenAI: a model that does not reason.
        return Some(Lesson::Omit("include".to_owned()));
    } else if has(&["does not support thinking"]) {
        // Ollama.
        let member = ["reasoning_effort", "reasoning"]
            .into_iter()
            .find(|member| sent.members.contains_key(*member))?;
        return Some(Lesson::Omit(member.to_owned()));
    } else {
        return None;
    };
    Some(Lesson::Adopt(habit))
}

/// A member that the model itself had put on a message or a call: Groq, Mistral and Cerebras know none.
fn refused_of_messages(said: &Said, sent: Sent<'_>) -> Option<Lesson> {
    if !said.refuses() {
        return None;
    }
    let of_path = |name: &&String| {
        let mut paths = said.paths.iter();
        paths.any(|path| path.starts_with("messages") && parts(path).any(|part| part == name.as_str()))
    };
    let of_text = |name: &&String| said.text.contains("messages") && mentions(&said.text, name, Quotes::Any);
    let mut names = sent.of_messages.iter();
    let name = names.clone().find(of_path).or_else(|| names.find(of_text))?;
    Some(Lesson::OmitOfMessages(name.clone()))
}

/// A member of the body.
fn refused_member(said: &Said, sent: Sent<'_>) -> Option<Lesson> {
    if !said.refuses() {
        return None;
    }
    let of_path = said.paths.iter().find_map(|path| sent_path(path, sent.members));
    let named = || {
        let mut names = sent.members.keys().filter(|name| is_optional(name));
        names.find(|name| {
            let quotes = if WORDS.contains(&name.as_str()) {
                Quotes::Required
            } else {
                Quotes::Any
            };
            mentions(&said.text, name, quotes) || mentions(&said.text, &camel_case(name), quotes)
        })
    };
    of_path.or_else(|| named().cloned()).map(Lesson::Omit)
}

/// The longest beginning of a path that was sent: `reasoning.summary`, or only `include` of `include[0]`.
fn sent_path(path: &str, members: &Map<String, Value>) -> Option<String> {
    let mut parts = parts(path);
    let first = parts.next()?;
    if !is_optional(first) {
        return None;
    }
    let mut value = members.get(first)?;
    let mut found = first.to_owned();
    for part in parts {
        let Some(member) = value.as_object().and_then(|value| value.get(part)) else {
            break;
        };
        found = format!("{found}.{part}");
        value = member;
    }
    Some(found)
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[', ']']).filter(|part| !part.is_empty())
}

fn is_optional(name: &str) -> bool {
    !ESSENTIAL.contains(&name)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Required,
    Any,
}

/// Whether a text has a name as a word of its own.
fn mentions(text: &str, name: &str, quotes: Quotes) -> bool {
    let name = name.to_lowercase();
    let is_inside = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(&name).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + name.len()..].chars().next();
        let follows_quote = before.is_some_and(|character| "'\"`[".contains(character));
        let is_whole = !before.is_some_and(is_inside) && !after.is_some_and(is_inside);
        is_whole && (quotes == Quotes::Any || follows_quote)
    })
}

/// `presence_penalty` as `presencePenalty`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn learn(status: u16, body: &str) -> Option<Lesson> {
        let members = json!({
            "model": "m", "stream": true, "stream_options": {}, "store": false, "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "k", "parallel_tool_calls": false, "max_tokens": 5, "temperature": 0.5, "tools": [],
            "reasoning": {"effort": "low", "summary": "auto"}, "reasoning_effort": "low", "presence_penalty": 1,
            "response_format": {}, "tool_choice": "required",
        });
        let of_messages = BTreeSet::from(["reasoning_content".to_owned(), "extra_content".to_owned()]);
        let refusal = Refusal {
            status,
            body: body.to_owned(),
        };
        let sent = Sent {
            members: members.as_object().unwrap(),
            of_messages: &of_messages,
        };
        lesson(&refusal, sent)
    }

    #[test]
    fn a_refused_parameter_is_found_in_the_words_of_each_server() {
        for (body, path) in [
            // OpenAI and Azure
            (
                r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","param":"max_tokens","code":"unsupported_parameter"}}"#,
                "max_tokens",
            ),
            (
                r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.","param":"temperature","code":"unsupported_value"}}"#,
                "temperature",
            ),
            (
                r#"{"error":{"message":"Encrypted content is not supported with this model.","param":"include","code":null}}"#,
                "include",
            ),
            (
                r#"{"error":{"message":"Your organization must be verified to generate reasoning summaries.","param":"reasoning.summary","code":"unsupported_value"}}"#,
                "reasoning.summary",
            ),
            (
                r#"{"error":{"message":"Unrecognized request argument supplied: parallel_tool_calls","param":null}}"#,
                "parallel_tool_calls",
            ),
            (
                r#"{"error":{"message":"Unknown parameter: 'stream_options'.","param":"stream_options","code":"unknown_parameter"}}"#,
                "stream_options",
            ),
            // Gemini
            (
                r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"prompt_cache_key\": Cannot find field.","status":"INVALID_ARGUMENT"}}]"#,
                "prompt_cache_key",
            ),
            // Mistral, FastAPI
            (
                r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}}"#,
                "stream_options",
            ),
            (
                r#"{"message":"[{'type': 'extra_forbidden', 'loc': ('body', 'store'), 'msg': 'Extra inputs are not permitted'}]"}"#,
                "store",
            ),
            // Groq, Fireworks, Bedrock, xAI, Kimi, DeepSeek, Ollama
            (
                r#"{"error":{"message":"property 'store' is unsupported, did you mean 'stop'?"}}"#,
                "store",
            ),
            (
                r#"{"error":{"message":"Extra inputs are not permitted, field: 'stream_options'"}}"#,
                "stream_options",
            ),
            (
                r#"{"message":"Malformed input request: #: extraneous key [stream_options] is not permitted"}"#,
                "stream_options",
            ),
            (
                r#"{"code":"Client specified an invalid argument","error":"Argument not supported on this model: presencePenalty"}"#,
                "presence_penalty",
            ),
            (
                r#"{"message":"invalid temperature: only 1 is allowed for this model","type":"invalid_request_error"}"#,
                "temperature",
            ),
            (
                r#"{"error":{"message":"This response_format type is unavailable now","type":"invalid_request_error","param":null}}"#,
                "response_format",
            ),
            (
                r#"{"error":{"message":"\"tiny:1b\" does not support thinking"}}"#,
                "reasoning_effort",
            ),
            // LiteLLM
            (
                r#"{"error":{"message":"litellm.UnsupportedParamsError: groq does not support parameters: ['store'], for model=m. To drop these, set `litellm.drop_params=True`"}}"#,
                "store",
            ),
            (
                r#"{"error":{"message":"litellm.BadRequestError: OpenAIException - {\n  \"error\": {\n    \"message\": \"Unsupported parameter\",\n    \"param\": \"reasoning.summary\"\n  }\n}"}}"#,
                "reasoning.summary",
            ),
        ] {
            assert_eq!(learn(400, body), Some(Lesson::Omit(path.to_owned())), "{body}");
        }
    }

    #[test]
    fn a_form_of_the_conversation_is_found_in_the_words_of_each_server() {
        for (body, habit) in [
            (
                "Missing `reasoning_content` field in the assistant message at message index 2.",
                Habit::ReasoningInEveryAnswer,
            ),
            (
                "The `reasoning_content` in the thinking mode must be passed back to the API.",
                Habit::ReasoningInEveryAnswer,
            ),
            (
                "Function call is missing a thought_signature in functionCall parts.",
                Habit::ThoughtSignatures,
            ),
            (
                "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.",
                Habit::NineCharacterIds,
            ),
            (
                "Tool call IDs should be alphanumeric strings with length 9!",
                Habit::NineCharacterIds,
            ),
            ("Unexpected role 'user' after role 'tool'", Habit::AnswerAfterTools),
            ("invalid message content type: <nil>", Habit::TextInEveryMessage),
            (
                "Invalid value for 'content': expected a string, got null.",
                Habit::TextInEveryMessage,
            ),
            ("System role not supported", Habit::NoSystemRole),
        ] {
            let body = json!({"error": {"message": body}}).to_string();
            assert_eq!(learn(400, &body), Some(Lesson::Adopt(habit)), "{body}");
            // A server that renders templates answers so.
            assert_eq!(learn(500, &body), Some(Lesson::Adopt(habit)), "{body}");
        }
    }

    #[test]
    fn a_member_of_messages_that_the_server_does_not_take_is_left_out() {
        for body in [
            r#"{"error":{"message":"'messages.2' : for 'role:assistant' the following must be satisfied[('messages.2' : property 'reasoning_content' is unsupported)]"}}"#,
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","messages",2,"assistant","reasoning_content"],"msg":"Extra inputs are not permitted"}]}"#,
            r#"{"error":{"message":"Unknown parameter: 'messages[2].reasoning_content'.","param":"messages[2].reasoning_content"}}"#,
        ] {
            let expected = Lesson::OmitOfMessages("reasoning_content".to_owned());
            assert_eq!(learn(400, body), Some(expected), "{body}");
        }
    }

    #[test]
    fn an_error_of_another_kind_teaches_nothing() {
        for (status, body) in [
            // What the agent means is refused: a person must decide.
            (
                400,
                r#"{"error":{"message":"m does not support tools","param":"tools"}}"#,
            ),
            (
                400,
                r#"{"error":{"message":"The model 'm' is not supported","param":"model"}}"#,
            ),
            // A wrong value of a known parameter.
            (
                400,
                r#"{"error":{"message":"max_tokens is too large: 100000. This model supports at most 4096 completion tokens.","param":"max_tokens"}}"#,
            ),
            (
                400,
                r#"{"error":{"message":"Invalid type for 'temperature': expected a number","param":"temperature"}}"#,
            ),
            // Words that are no names.
            (
                400,
                r#"{"error":{"message":"Please include an image; the store is unavailable."}}"#,
            ),
            (400, "<html>bad</html>"),
            (
                401,
                r#"{"error":{"message":"Unknown parameter: 'store'.","param":"store"}}"#,
            ),
            (
                429,
                r#"{"error":{"message":"Unknown parameter: 'store'.","param":"store"}}"#,
            ),
        ] {
            assert_eq!(learn(status, body), None, "{body}");
        }
    }
}

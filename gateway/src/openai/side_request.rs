//! Requests that a chat UI makes for itself: a title, tags, suggestions. No agent runs for them:
//! each would be a task with a turn, and its tools could do something. Pure.
//! Source: Open WebUI. A connection may send the name of such a request in a header (`{{TASK}}`);
//! without it, its default prompts tell: they begin with a heading and name the JSON they want.

use axum::http::HeaderMap;
use serde_json::json;

use super::input::Input;

/// Sent with the requests of the UI by connections that are configured so; empty for those of people.
const TASK_HEADER: &str = "x-openwebui-task";
const HEADING: &str = "### Task:";
const EMOJI_PROMPT: &str = "Your task is to reflect the speaker's likely facial expression";
const TOOLS_PROMPT: &str = "Available Tools:";
const TOOLS_QUESTION: &str = "Query:";
const CHAT_BEGIN: &str = "<chat_history>";
const CHAT_END: &str = "</chat_history>";
const USER: &str = "USER:";
const NEUTRAL_EMOJI: &str = "🙂";
const TITLE_WORDS: usize = 6;
const MAX_TITLE_CHARS: usize = 60;

/// What a UI asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Title,
    Tags,
    FollowUps,
    Queries,
    Completion,
    ImagePrompt,
    Emoji,
    /// Which of the tools of the UI fit a message.
    Tools,
}

/// The answer, if this is such a request.
pub(crate) fn answer(input: &Input, headers: &HeaderMap) -> Option<String> {
    let header = headers.get(TASK_HEADER).and_then(|value| value.to_str().ok());
    let kind = header.and_then(Kind::of_header).or_else(|| Kind::of_prompt(input))?;
    let answer = match kind {
        Kind::Title => json!({ "title": title(input.message()) }),
        Kind::Tags => json!({ "tags": [] }),
        Kind::FollowUps => json!({ "follow_ups": [] }),
        Kind::Queries => json!({ "queries": [] }),
        Kind::Completion => json!({ "text": "" }),
        Kind::ImagePrompt => json!({ "prompt": last_of_user(input.message()) }),
        Kind::Emoji => return Some(NEUTRAL_EMOJI.to_owned()),
        Kind::Tools => json!({ "tool_calls": [] }),
    };
    Some(answer.to_string())
}

impl Kind {
    fn of_header(name: &str) -> Option<Self> {
        Some(match name {
            "title_generation" => Self::Title,
            "tags_generation" => Self::Tags,
            "follow_up_generation" => Self::FollowUps,
            "query_generation" => Self::Queries,
            "autocomplete_generation" => Self::Completion,
            "image_prompt_generation" => Self::ImagePrompt,
            "emoji_generation" => Self::Emoji,
            "function_calling" => Self::Tools,
            _ => return None,
        })
    }

    fn of_prompt(input: &Input) -> Option<Self> {
        const KEYS: [(&str, Kind); 6] = [
            ("\"title\":", Kind::Title),
            ("\"tags\":", Kind::Tags),
            ("\"follow_ups\":", Kind::FollowUps),
            ("\"queries\":", Kind::Queries),
            ("\"text\":", Kind::Completion),
            ("\"prompt\":", Kind::ImagePrompt),
        ];
        let message = input.message().trim_start();
        if message.starts_with(EMOJI_PROMPT) {
            return Some(Self::Emoji);
        }
        let instructions = input.instructions().unwrap_or_default().trim_start();
        if message.starts_with(TOOLS_QUESTION) && instructions.starts_with(TOOLS_PROMPT) {
            return Some(Self::Tools);
        }
        let prompt = message.strip_prefix(HEADING)?;
        // What people said stands at the end, and may name anything.
        let (prompt, _) = prompt.split_once(CHAT_BEGIN).unwrap_or((prompt, ""));
        let found = KEYS.into_iter().find(|(key, _)| prompt.contains(key));
        found.map(|(_, kind)| kind)
    }
}

/// The conversation that a prompt shows.
fn conversation(prompt: &str) -> &str {
    prompt
        .split_once(CHAT_BEGIN)
        .and_then(|(_, rest)| rest.split_once(CHAT_END))
        .map_or("", |(conversation, _)| conversation.trim())
}

/// The first words of the conversation.
fn title(prompt: &str) -> String {
    let first = conversation(prompt).lines().next().unwrap_or_default();
    let said = first.strip_prefix(USER).unwrap_or(first);
    let words: Vec<&str> = said.split_whitespace().take(TITLE_WORDS).collect();
    let title: String = words.join(" ").chars().take(MAX_TITLE_CHARS).collect();
    if title.is_empty() { "Chat".to_owned() } else { title }
}

/// What the user has said last: the best description of a picture without asking anybody.
fn last_of_user(prompt: &str) -> &str {
    let said = conversation(prompt)
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(USER));
    said.unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const CHAT: &str = "<chat_history>\nUSER: Where can I see the autumn moon in Kyoto?\nASSISTANT: At a \"tags\": temple.\n\
                        USER: Which one?\n</chat_history>";

    fn answer_to(prompt: &str) -> Option<String> {
        let input = Input::of_response(Some(&json!(prompt)), None).unwrap();
        answer(&input, &HeaderMap::new())
    }

    fn json_answer(prompt: &str) -> Value {
        serde_json::from_str(&answer_to(prompt).unwrap()).unwrap()
    }

    #[test]
    fn a_title_is_the_beginning_of_the_conversation() {
        let prompt = format!("### Task:\nWrite a short title.\n### Output:\nJSON: {{ \"title\": \"…\" }}\n{CHAT}");
        assert_eq!(json_answer(&prompt), json!({"title": "Where can I see the autumn"}));
        assert_eq!(json_answer("### Task:\n{ \"title\": \"…\" }"), json!({"title": "Chat"}));
    }

    #[test]
    fn each_request_of_a_chat_ui_gets_the_json_that_it_names() {
        for (key, expected) in [
            ("tags", json!({"tags": []})),
            ("follow_ups", json!({"follow_ups": []})),
            ("queries", json!({"queries": []})),
            ("text", json!({"text": ""})),
            ("prompt", json!({"prompt": "Which one?"})),
        ] {
            let prompt = format!("### Task:\nDo it.\n### Output:\n{{ \"{key}\": … }}\n{CHAT}");
            assert_eq!(json_answer(&prompt), expected, "{key}");
        }
        let emoji = format!("{EMOJI_PROMPT} through a fitting emoji.\n\nMessage: ```Hi```");
        assert_eq!(answer_to(&emoji).as_deref(), Some(NEUTRAL_EMOJI));
        let tools = json!([
            {"role": "system", "content": "Available Tools: [{\"name\": \"search\"}]\n\nChoose."},
            {"role": "user", "content": "Query: History:\nUSER: \"\"\"Hi\"\"\"\nQuery: Hi"},
        ]);
        let input = Input::of_chat(Some(&tools)).unwrap();
        assert_eq!(
            answer(&input, &HeaderMap::new()).as_deref(),
            Some(r#"{"tool_calls":[]}"#)
        );
    }

    #[test]
    fn the_header_tells_whatever_the_prompt_is() {
        let answer_with = |task: &'static str| {
            let input = Input::of_response(Some(&json!("Name this chat.")), None).unwrap();
            let headers = HeaderMap::from_iter([(
                axum::http::HeaderName::from_static(TASK_HEADER),
                axum::http::HeaderValue::from_static(task),
            )]);
            answer(&input, &headers)
        };
        assert_eq!(answer_with("title_generation").as_deref(), Some(r#"{"title":"Chat"}"#));
        // Those of people: the value is empty, or the name that no version of the UI has replaced.
        for task in ["", "{{TASK}}", "moa_response_generation"] {
            assert_eq!(answer_with(task), None, "{task}");
        }
    }

    #[test]
    fn what_a_person_writes_is_no_such_request() {
        for prompt in [
            "Hi",
            "### Task: mow the lawn",
            "Explain \"title\": to me",
            "Query: how many?",
            "### Task: mow\n<chat_history>\nUSER: \"title\": x\n</chat_history>",
        ] {
            assert_eq!(answer_to(prompt), None, "{prompt}");
        }
    }
}

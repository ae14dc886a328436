//! Requests that a chat UI makes for itself: a title, tags, suggestions. No agent runs for them:
//! each would be a task with a turn, and its tools could do something.
//! Source: the default prompts of Open WebUI, which begin with a heading and name the JSON they want.

use serde_json::json;

use super::input::Input;

const HEADING: &str = "### Task:";
const TITLE_WORDS: usize = 6;
const MAX_TITLE_CHARS: usize = 60;

/// The answer, if this is such a request.
pub(crate) fn answer(input: &Input) -> Option<String> {
    let prompt = input.message().trim_start().strip_prefix(HEADING)?;
    let asks_for = |key: &str| prompt.contains(&format!("\"{key}\":"));
    let answer = if asks_for("title") {
        json!({ "title": title(prompt) })
    } else if asks_for("tags") {
        json!({ "tags": [] })
    } else if asks_for("follow_ups") {
        json!({ "follow_ups": [] })
    } else if asks_for("queries") {
        json!({ "queries": [] })
    } else if asks_for("text") {
        json!({ "text": "" })
    } else {
        return None;
    };
    Some(answer.to_string())
}

/// The first words of the conversation.
fn title(prompt: &str) -> String {
    let conversation = prompt
        .split_once("<chat_history>")
        .and_then(|(_, rest)| rest.split_once("</chat_history>"))
        .map_or("", |(conversation, _)| conversation.trim());
    let first = conversation.lines().next().unwrap_or_default();
    let said = first.strip_prefix("USER:").unwrap_or(first);
    let words: Vec<&str> = said.split_whitespace().take(TITLE_WORDS).collect();
    let title: String = words.join(" ").chars().take(MAX_TITLE_CHARS).collect();
    if title.is_empty() { "Chat".to_owned() } else { title }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(prompt: &str) -> Option<String> {
        let input = Input::of_response(Some(&json!(prompt)), None).unwrap();
        answer(&input)
    }

    #[test]
    fn a_title_is_the_beginning_of_the_conversation() {
        let prompt = "### Task:\nWrite a short title.\n### Output:\nJSON: { \"title\": \"…\" }\n### Chat History:\n\
                      <chat_history>\nUSER: Where can I see the autumn moon in Kyoto?\nASSISTANT: At a temple.\n</chat_history>";
        assert_eq!(
            answer_to(prompt).as_deref(),
            Some(r#"{"title":"Where can I see the autumn"}"#)
        );
        assert_eq!(
            answer_to("### Task:\n{ \"title\": \"…\" }").as_deref(),
            Some(r#"{"title":"Chat"}"#)
        );
    }

    #[test]
    fn what_a_person_writes_is_no_such_request() {
        for prompt in ["Hi", "### Task: mow the lawn", "Explain \"title\": to me"] {
            assert_eq!(answer_to(prompt), None, "{prompt}");
        }
    }
}

//! Elicitation: a server asks a person for input during a call. A server of
//! protocol 2026-07-28 ends the call with its questions and is called again with
//! the answers. A server of an older protocol asks over the open call: the call
//! is abandoned, and a new call gets all answers so far.

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use steadfast_contract::mcp::{McpAnswer, McpInputRequest};

const ACCEPT: &str = "accept";
const DECLINE: &str = "decline";
/// Member of the state that holds the earlier answers to an older server.
const EARLIER: &str = "earlier";
/// Method of a question.
pub(super) const CREATE: &str = "elicitation/create";

/// What this worker can be asked, as every request or the handshake says it.
pub(super) fn capabilities() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}})
}

/// Combines the questions of a server into one request for a person. An error names a request that is no question.
pub(super) fn request(requests: &Map<String, Value>, state: Option<&Value>) -> Result<McpInputRequest, String> {
    let mut asked = Vec::new();
    for (key, request) in requests {
        match request.get("method").and_then(Value::as_str) {
            Some(CREATE) => asked.push((key.clone(), question(&request["params"]))),
            method => {
                let method = method.unwrap_or("something without a method");
                return Err(format!(
                    "it asks for {method:?}, and this worker answers elicitations only"
                ));
            }
        }
    }
    let form = match asked.as_slice() {
        [(_, (_, form))] => form.clone(),
        several => {
            let forms = several.iter().map(|(key, (_, form))| {
                let form = if form.is_null() {
                    json!({"type": "object"})
                } else {
                    form.clone()
                };
                (key.clone(), form)
            });
            let required: Vec<&String> = several.iter().map(|(key, _)| key).collect();
            json!({"type": "object", "required": required, "properties": forms.collect::<Map<_, _>>()})
        }
    };
    let (keys, questions): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let prompts: Vec<String> = questions.into_iter().map(|(prompt, _)| prompt).collect();
    Ok(McpInputRequest {
        prompt: prompts.join("\n\n"),
        form,
        state: state.cloned().unwrap_or_default(),
        keys,
    })
}

/// The prompt and the form of a question; the form is null if the question only asks for consent.
fn question(params: &Value) -> (String, Value) {
    let message = params["message"].as_str().unwrap_or("The MCP server asks.");
    if let Some(url) = params["url"].as_str() {
        return (format!("{message}\n{url}"), Value::Null);
    }
    let form = &params["requestedSchema"];
    let has_fields = form["properties"].as_object().is_some_and(|fields| !fields.is_empty());
    (message.to_owned(), if has_fields { form.clone() } else { Value::Null })
}

/// The answers for a server of 2026-07-28; none for an older server.
pub(super) fn responses(answer: &McpAnswer) -> Option<Value> {
    let keys = &answer.request.keys;
    let responses = keys.iter().map(|key| {
        let content = match keys.as_slice() {
            [_] => &answer.content,
            _ => &answer.content[key],
        };
        (key.clone(), result(&answer.action, content))
    });
    (!keys.is_empty()).then(|| Value::Object(responses.collect()))
}

/// The state that a server of 2026-07-28 gave.
pub(super) fn request_state(answer: &McpAnswer) -> Option<Value> {
    let is_of_newer = !answer.request.keys.is_empty() && !answer.request.state.is_null();
    is_of_newer.then(|| answer.request.state.clone())
}

fn result(action: &str, content: &Value) -> Value {
    match action {
        ACCEPT if content.is_object() => json!({"action": ACCEPT, "content": content}),
        ACCEPT => json!({"action": ACCEPT, "content": {}}),
        DECLINE => json!({"action": DECLINE}),
        _ => json!({"action": "cancel"}),
    }
}

/// An answer to a question of an older server, identified by the question.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct AnsweredQuestion {
    prompt: String,
    form: Value,
    action: String,
    content: Value,
}

/// Answers the questions of an open call, or asks a person.
#[derive(Debug, Default)]
pub(super) struct Elicitations {
    answered: Vec<AnsweredQuestion>,
    /// Which of them are used: a server that asks the same question twice expects two answers.
    used: Mutex<Vec<bool>>,
}

/// What becomes of a question.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// The result for the server.
    Answered(Value),
    /// The call ends with this request.
    Person(McpInputRequest),
}

impl Elicitations {
    pub(super) fn new(answered: Option<&McpAnswer>) -> Self {
        let answered = answered.map(answered_questions).unwrap_or_default();
        Self {
            used: Mutex::new(vec![false; answered.len()]),
            answered,
        }
    }

    /// Takes a question of an open call.
    pub(super) fn ask(&self, params: &Value) -> Asked {
        let (prompt, form) = question(params);
        if let Some(answer) = self.answer(&prompt, &form) {
            return Asked::Answered(answer);
        }
        Asked::Person(McpInputRequest {
            prompt,
            form,
            state: json!({ EARLIER: self.answered }),
            keys: Vec::new(),
        })
    }

    fn answer(&self, prompt: &str, form: &Value) -> Option<Value> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let matches = |question: &AnsweredQuestion| question.prompt == prompt && question.form == *form;
        let index = (0..self.answered.len()).find(|index| !used[*index] && matches(&self.answered[*index]))?;
        used[index] = true;
        Some(result(&self.answered[index].action, &self.answered[index].content))
    }
}

/// All answers so far to an older server.
fn answered_questions(answer: &McpAnswer) -> Vec<AnsweredQuestion> {
    if !answer.request.keys.is_empty() {
        return Vec::new();
    }
    let mut answered: Vec<AnsweredQuestion> =
        serde_json::from_value(answer.request.state[EARLIER].clone()).unwrap_or_default();
    answered.push(AnsweredQuestion {
        prompt: answer.request.prompt.clone(),
        form: answer.request.form.clone(),
        action: answer.action.clone(),
        content: answer.content.clone(),
    });
    answered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(message: &str, field: &str) -> Value {
        json!({"mode": "form", "message": message,
            "requestedSchema": {"type": "object", "properties": {field: {"type": "string"}}}})
    }

    fn form(message: &str, field: &str) -> Value {
        json!({"method": "elicitation/create", "params": params(message, field)})
    }

    fn asked(requests: Value) -> McpInputRequest {
        let Value::Object(requests) = requests else {
            panic!("an object")
        };
        request(&requests, Some(&json!("s1"))).unwrap()
    }

    fn answer(request: McpInputRequest, action: &str, content: Value) -> McpAnswer {
        McpAnswer {
            request,
            action: action.to_owned(),
            content,
        }
    }

    fn person(asked: Asked) -> McpInputRequest {
        match asked {
            Asked::Person(request) => request,
            Asked::Answered(answer) => panic!("{answer}"),
        }
    }

    #[test]
    fn a_question_becomes_a_prompt_with_a_form_and_its_answer_keeps_the_key() {
        let request = asked(json!({"k1": form("Which city?", "city")}));
        assert_eq!(request.prompt, "Which city?");
        assert_eq!(request.form["properties"]["city"]["type"], "string");
        let answer = answer(request, "accept", json!({"city": "Bonn"}));
        assert_eq!(
            responses(&answer).unwrap(),
            json!({"k1": {"action": "accept", "content": {"city": "Bonn"}}})
        );
        assert_eq!(request_state(&answer), Some(json!("s1")));
    }

    #[test]
    fn several_questions_become_one_form_and_get_separate_answers() {
        let request = asked(json!({"a": form("City?", "city"), "b": form("Day?", "day")}));
        assert_eq!(request.prompt, "City?\n\nDay?");
        assert_eq!(request.form["required"], json!(["a", "b"]));
        let answer = answer(
            request,
            "accept",
            json!({"a": {"city": "Bonn"}, "b": {"day": "Monday"}}),
        );
        assert_eq!(responses(&answer).unwrap()["b"]["content"], json!({"day": "Monday"}));
    }

    #[test]
    fn a_question_for_consent_has_no_form() {
        let mut plain = form("Really?", "x");
        plain["params"]["requestedSchema"]["properties"] = json!({});
        let request = asked(json!({"k": plain}));
        assert_eq!(request.form, Value::Null);
        let declined = answer(request.clone(), "decline", Value::Null);
        assert_eq!(responses(&declined).unwrap(), json!({"k": {"action": "decline"}}));
        let accepted = answer(request, "accept", Value::Null);
        assert_eq!(
            responses(&accepted).unwrap(),
            json!({"k": {"action": "accept", "content": {}}})
        );
    }

    #[test]
    fn a_question_at_a_url_shows_the_url() {
        let request = asked(json!({"k": {"method": "elicitation/create",
            "params": {"mode": "url", "message": "Sign in.", "url": "https://example.com/login"}}}));
        assert_eq!(request.prompt, "Sign in.\nhttps://example.com/login");
        assert_eq!(request.form, Value::Null);
    }

    #[test]
    fn a_request_that_is_no_elicitation_is_refused() {
        let Value::Object(roots) = json!({"k": {"method": "roots/list"}}) else {
            panic!("an object")
        };
        assert!(request(&roots, None).unwrap_err().contains("roots/list"));
    }

    #[test]
    fn an_older_server_gets_all_answers_so_far() {
        let first = Elicitations::default();
        let request = person(first.ask(&params("City?", "city")));
        let city = answer(request, "accept", json!({"city": "Bonn"}));
        assert!(responses(&city).is_none() && request_state(&city).is_none());

        let second = Elicitations::new(Some(&city));
        let accepted = Asked::Answered(json!({"action": "accept", "content": {"city": "Bonn"}}));
        assert_eq!(second.ask(&params("City?", "city")), accepted);
        let day = answer(person(second.ask(&params("Day?", "day"))), "decline", Value::Null);

        let third = Elicitations::new(Some(&day));
        assert_eq!(third.ask(&params("City?", "city")), accepted);
        assert_eq!(
            third.ask(&params("Day?", "day")),
            Asked::Answered(json!({"action": "decline"}))
        );
        person(third.ask(&params("Day?", "day")));
    }
}

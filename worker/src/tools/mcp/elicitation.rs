//! Elicitation: a server asks a person for input during a call. A server of
//! protocol 2026-07-28 ends the call with its questions and is called again with
//! the answers. A server of protocol 2025-11-25 asks over the open call: the call
//! is abandoned, and a new call gets all answers so far.

use std::sync::{Mutex, PoisonError};

use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationCapability,
        FormElicitationCapability, Implementation, InputRequest, InputRequests, InputResponses,
        UrlElicitationCapability,
    },
    service::RequestContext,
};
use serde_json::{Map, Value, json};
use steadfast_contract::mcp::{McpAnswer, McpInputRequest};
use tokio::sync::mpsc;

use super::error::refused;
use crate::failure::CallFailure;

const ACCEPT: &str = "accept";
const DECLINE: &str = "decline";
/// Member of the state that holds the earlier answers to a server of 2025-11-25.
const EARLIER: &str = "earlier";

/// Combines the questions of a server into one request for a person.
pub(super) fn request(requests: InputRequests, state: Option<String>) -> Result<McpInputRequest, CallFailure> {
    let mut asked = Vec::new();
    for (key, request) in requests {
        let InputRequest::Elicitation(elicitation) = request else {
            return Err(refused(
                "the MCP server requests something other than an elicitation, which this worker does not support",
            ));
        };
        asked.push((key, question(elicitation.params)));
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
        state: state.map_or(Value::Null, Value::String),
        keys,
    })
}

/// The prompt and the form of a question; the form is null if the question only asks for consent.
fn question(params: ElicitRequestParams) -> (String, Value) {
    match params {
        ElicitRequestParams::FormElicitationParams {
            message,
            requested_schema,
            ..
        } => {
            let form = if requested_schema.properties.is_empty() {
                Value::Null
            } else {
                serde_json::to_value(&requested_schema).unwrap_or_default()
            };
            (message, form)
        }
        ElicitRequestParams::UrlElicitationParams { message, url, .. } => (format!("{message}\n{url}"), Value::Null),
        _ => ("The MCP server asks in an unsupported way.".to_owned(), Value::Null),
    }
}

/// The answers for a server of 2026-07-28; none for an older server.
pub(super) fn responses(answer: &McpAnswer) -> Option<InputResponses> {
    let keys = &answer.request.keys;
    let responses = keys.iter().map(|key| {
        let content = match keys.as_slice() {
            [_] => &answer.content,
            _ => &answer.content[key],
        };
        let result = serde_json::to_value(result(&answer.action, content)).unwrap_or_default();
        (key.clone(), result)
    });
    (!keys.is_empty()).then(|| responses.collect())
}

/// The state that a server of 2026-07-28 gave.
pub(super) fn request_state(answer: &McpAnswer) -> Option<String> {
    answer.request.state.as_str().map(str::to_owned)
}

fn result(action: &str, content: &Value) -> ElicitResult {
    match action {
        ACCEPT if content.is_object() => ElicitResult::new(ElicitationAction::Accept).with_content(content.clone()),
        ACCEPT => ElicitResult::new(ElicitationAction::Accept).with_content(json!({})),
        DECLINE => ElicitResult::new(ElicitationAction::Decline),
        _ => ElicitResult::new(ElicitationAction::Cancel),
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

/// Answers the questions of an open call, and returns the first question without an answer.
pub(super) struct Elicitations {
    answered: Vec<AnsweredQuestion>,
    /// Which of them are used: a server that asks the same question twice expects two answers.
    used: Mutex<Vec<bool>>,
    requests: mpsc::Sender<McpInputRequest>,
}

impl Elicitations {
    pub(super) fn new(answered: Option<&McpAnswer>) -> (Self, mpsc::Receiver<McpInputRequest>) {
        let (requests, receiver) = mpsc::channel(1);
        let answered = answered.map(answered_questions).unwrap_or_default();
        let elicitations = Self {
            used: Mutex::new(vec![false; answered.len()]),
            answered,
            requests,
        };
        (elicitations, receiver)
    }

    fn answer(&self, prompt: &str, form: &Value) -> Option<ElicitResult> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let matches = |question: &AnsweredQuestion| question.prompt == prompt && question.form == *form;
        let index = (0..self.answered.len()).find(|index| !used[*index] && matches(&self.answered[*index]))?;
        used[index] = true;
        Some(result(&self.answered[index].action, &self.answered[index].content))
    }

    fn ask(&self, prompt: String, form: Value) {
        let request = McpInputRequest {
            prompt,
            form,
            state: json!({ EARLIER: self.answered }),
            keys: Vec::new(),
        };
        // Only the first request counts: the call ends with it.
        drop(self.requests.try_send(request));
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

impl ClientHandler for Elicitations {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation = Some(
            ElicitationCapability::default()
                .with_form(FormElicitationCapability::default())
                .with_url(UrlElicitationCapability::default()),
        );
        ClientConfig::new(
            capabilities,
            Implementation::new("steadfast", env!("CARGO_PKG_VERSION")),
        )
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let (prompt, form) = question(request);
        if let Some(answer) = self.answer(&prompt, &form) {
            return Ok(answer);
        }
        self.ask(prompt, form);
        // No answer: the end of the session ends the call at the server. "Cancel" would be an answer.
        context.ct.cancelled().await;
        Ok(ElicitResult::new(ElicitationAction::Cancel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::RetryClass;

    fn form(message: &str, field: &str) -> Value {
        json!({"method": "elicitation/create", "params": {"mode": "form", "message": message,
            "requestedSchema": {"type": "object", "properties": {field: {"type": "string"}}}}})
    }

    fn asked(requests: Value) -> McpInputRequest {
        request(serde_json::from_value(requests).unwrap(), Some("s1".to_owned())).unwrap()
    }

    fn answer(request: McpInputRequest, action: &str, content: Value) -> McpAnswer {
        McpAnswer {
            request,
            action: action.to_owned(),
            content,
        }
    }

    #[test]
    fn a_question_becomes_a_prompt_with_a_form_and_its_answer_keeps_the_key() {
        let request = asked(json!({"k1": form("Which city?", "city")}));
        assert_eq!(request.prompt, "Which city?");
        assert_eq!(request.form["properties"]["city"]["type"], "string");
        let answer = answer(request, "accept", json!({"city": "Bonn"}));
        assert_eq!(
            json!(responses(&answer).unwrap()),
            json!({"k1": {"action": "accept", "content": {"city": "Bonn"}}})
        );
        assert_eq!(request_state(&answer).as_deref(), Some("s1"));
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
        assert_eq!(
            json!(responses(&answer).unwrap())["b"]["content"],
            json!({"day": "Monday"})
        );
    }

    #[test]
    fn a_question_for_consent_has_no_form() {
        let mut plain = form("Really?", "x");
        plain["params"]["requestedSchema"]["properties"] = json!({});
        let request = asked(json!({"k": plain}));
        assert_eq!(request.form, Value::Null);
        let declined = answer(request.clone(), "decline", Value::Null);
        assert_eq!(
            json!(responses(&declined).unwrap()),
            json!({"k": {"action": "decline"}})
        );
        let accepted = answer(request, "accept", Value::Null);
        assert_eq!(
            json!(responses(&accepted).unwrap()),
            json!({"k": {"action": "accept", "content": {}}})
        );
    }

    #[test]
    fn a_request_that_is_no_elicitation_is_refused() {
        let roots = json!({"k": {"method": "roots/list"}});
        let failure = request(serde_json::from_value(roots).unwrap(), None).unwrap_err();
        assert_eq!(failure.retry, RetryClass::Permanent);
    }

    #[test]
    fn an_older_server_gets_all_answers_so_far() {
        let (first, mut receiver) = Elicitations::new(None);
        assert!(first.answer("City?", &Value::Null).is_none());
        first.ask("City?".to_owned(), Value::Null);
        let city = answer(receiver.try_recv().unwrap(), "accept", json!({"city": "Bonn"}));
        assert!(responses(&city).is_none() && request_state(&city).is_none());

        let (second, mut receiver) = Elicitations::new(Some(&city));
        assert_eq!(
            second.answer("City?", &Value::Null).unwrap().content,
            Some(json!({"city": "Bonn"}))
        );
        assert!(second.answer("Day?", &Value::Null).is_none());
        second.ask("Day?".to_owned(), Value::Null);
        let day = answer(receiver.try_recv().unwrap(), "decline", Value::Null);

        let (third, _receiver) = Elicitations::new(Some(&day));
        assert_eq!(
            third.answer("City?", &Value::Null).unwrap().action,
            ElicitationAction::Accept
        );
        assert_eq!(
            third.answer("Day?", &Value::Null).unwrap().action,
            ElicitationAction::Decline
        );
        assert!(third.answer("Day?", &Value::Null).is_none());
    }
}

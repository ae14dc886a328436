//! What a server asks a person for in the middle of a call. A server of
//! 2026-07-28 ends the call with its questions and is called again with the
//! answers. One of 2025-11-25 asks over the open call: the call is given up, and
//! the next one, which runs from its start, gets every answer known by then.

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
use steadfast_contract::activities::{McpAnswer, McpInputRequest};
use tokio::sync::mpsc;

use super::McpError;

const ACCEPT: &str = "accept";
const DECLINE: &str = "decline";
/// Under which the answers to earlier questions of an older server stand in the state.
const EARLIER: &str = "earlier";

/// The questions of a server as one for a person.
pub(super) fn request(requests: InputRequests, state: Option<String>) -> Result<McpInputRequest, McpError> {
    let mut asked = Vec::new();
    for (key, request) in requests {
        let InputRequest::Elicitation(elicitation) = request else {
            return Err(McpError::Refused(
                "the MCP server asks for something other than a person's answer, which this worker does not offer"
                    .to_owned(),
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

/// What a person reads, and the form; null when only agreement is asked for.
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
        _ => (
            "The MCP server asks in a way that cannot be shown.".to_owned(),
            Value::Null,
        ),
    }
}

/// The answers as a server of 2026-07-28 wants them; none for an older one.
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

/// The server's own, as it gave it.
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

/// An answer to a question of an older server, found again by the question.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Known {
    prompt: String,
    form: Value,
    action: String,
    content: Value,
}

/// Answers the questions that come over an open call, and hands out the first one that nobody answered yet.
pub(super) struct Elicitations {
    known: Vec<Known>,
    /// How many of them have been used: a server may ask the same twice and means two answers.
    used: Mutex<Vec<bool>>,
    asked: mpsc::Sender<McpInputRequest>,
}

impl Elicitations {
    pub(super) fn new(answered: Option<&McpAnswer>) -> (Self, mpsc::Receiver<McpInputRequest>) {
        let (asked, receiver) = mpsc::channel(1);
        let known = answered.map(known).unwrap_or_default();
        let used = Mutex::new(vec![false; known.len()]);
        (Self { known, used, asked }, receiver)
    }

    fn answer(&self, prompt: &str, form: &Value) -> Option<ElicitResult> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |known: &Known| known.prompt == prompt && known.form == *form;
        let index = (0..self.known.len()).find(|index| !used[*index] && fits(&self.known[*index]))?;
        used[index] = true;
        Some(result(&self.known[index].action, &self.known[index].content))
    }

    fn ask(&self, prompt: String, form: Value) {
        let request = McpInputRequest {
            prompt,
            form,
            state: json!({ EARLIER: self.known }),
            keys: Vec::new(),
        };
        // Only the first counts: the call is given up with it.
        drop(self.asked.try_send(request));
    }
}

fn known(answer: &McpAnswer) -> Vec<Known> {
    if !answer.request.keys.is_empty() {
        return Vec::new();
    }
    let mut known: Vec<Known> = serde_json::from_value(answer.request.state[EARLIER].clone()).unwrap_or_default();
    known.push(Known {
        prompt: answer.request.prompt.clone(),
        form: answer.request.form.clone(),
        action: answer.action.clone(),
        content: answer.content.clone(),
    });
    known
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
        // Not answered: the end of the session ends the call at the server. "Cancel" would be an answer.
        context.ct.cancelled().await;
        Ok(ElicitResult::new(ElicitationAction::Cancel))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

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
    fn a_question_becomes_a_prompt_with_a_form_and_its_answer_goes_back_under_its_key() {
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
    fn several_questions_are_one_form_and_are_answered_apart() {
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
    fn only_agreement_has_no_form_and_a_refusal_no_content() {
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
    fn what_no_person_can_answer_is_refused() {
        let sampling = json!({"k": {"method": "roots/list"}});
        assert!(matches!(
            request(serde_json::from_value(sampling).unwrap(), None),
            Err(McpError::Refused(_))
        ));
    }

    #[test]
    fn an_older_server_gets_every_answer_known_so_far() {
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

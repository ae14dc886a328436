//! What a client sends: a message for the agent, or the answer to what a person is asked. Pure.
//!
//! A generic client of A2A has a text field and nothing else, so a text must be able to answer. But whatever a text may
//! mean, nothing runs by a guess: only one word approves a call.

use a2a_types::{Message, PartContent, Role};
use serde_json::Value;
use steadfast_attachments::Given;
use steadfast_events::{Approval, ApprovalKind, Verdict};

use super::{errors::CONTENT_TYPE_NOT_SUPPORTED, files};

/// Longest id of a message or a context.
pub(crate) const MAX_ID_BYTES: usize = 255;
const MAX_REASON_CHARS: usize = 1000;
const APPROVE: &str = "approve";
const REJECT: &str = "reject";

/// A message that a client sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incoming {
    pub(crate) message_id: String,
    pub(crate) context_id: Option<String>,
    pub(crate) task_id: Option<String>,
    /// The parts, one after the other; data as JSON.
    pub(crate) text: String,
    /// The files.
    pub(crate) files: Vec<Given>,
    /// The data, where a part has some and no other has.
    data: Option<Value>,
}

/// The answer to what a person is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) approval_id: String,
    pub(crate) verdict: Verdict,
    pub(crate) reason: Option<String>,
    /// What fills in the form of the question.
    pub(crate) content: Value,
}

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct InputError {
    pub(crate) message: String,
    pub(crate) field: &'static str,
    /// A reason that A2A defines.
    pub(crate) reason: Option<&'static str>,
}

impl InputError {
    fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            field,
            reason: None,
        }
    }
}

impl Incoming {
    pub(crate) fn read(message: Message) -> Result<Self, InputError> {
        if message.role != Role::User {
            return Err(InputError::invalid("message.role", "role must be ROLE_USER"));
        }
        if !(1..=MAX_ID_BYTES).contains(&message.message_id.len()) {
            return Err(InputError::invalid(
                "message.messageId",
                format!("messageId is required, and at most {MAX_ID_BYTES} bytes long"),
            ));
        }
        let mut texts = Vec::new();
        let mut data = Vec::new();
        let mut files = Vec::new();
        for part in message.parts {
            let (media_type, filename) = (part.media_type, part.filename);
            let unreadable = media_type.as_deref().filter(|kind| !is_readable(kind));
            match (part.content, unreadable) {
                (PartContent::Text(_) | PartContent::Data(_), Some(kind)) => return Err(not_supported(kind)),
                (PartContent::Text(text), None) => texts.push(text),
                (PartContent::Data(value), None) => {
                    texts.push(value.to_string());
                    data.push(value);
                }
                (PartContent::Raw(bytes), _) => files.push(files::of_bytes(bytes, media_type, filename)),
                (PartContent::Url(url), _) => {
                    let given = files::of_url(&url, media_type.as_deref(), filename.as_deref());
                    files.push(given.map_err(|refusal| InputError::invalid("message.parts", refusal.to_string()))?);
                }
            }
        }
        let text = texts.join("\n\n");
        if text.trim().is_empty() && files.is_empty() {
            return Err(InputError::invalid(
                "message.parts",
                "a message needs a part with text, data or a file",
            ));
        }
        let given = |id: Option<String>| id.filter(|id| !id.is_empty());
        let context_id = given(message.context_id);
        if context_id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
            return Err(InputError::invalid(
                "message.contextId",
                format!("contextId is at most {MAX_ID_BYTES} bytes long"),
            ));
        }
        Ok(Self {
            message_id: message.message_id,
            context_id,
            task_id: given(message.task_id),
            text,
            files,
            data: if data.len() == 1 { data.pop() } else { None },
        })
    }

    /// The same for the same message sent again. Clients that count their messages from 1 in each conversation are
    /// told apart by the text and the files.
    pub(crate) fn seed(&self) -> String {
        let seed = format!("a2a/{}/{}", self.message_id, self.text);
        self.files
            .iter()
            .fold(seed, |seed, file| format!("{seed}/{}", file.fingerprint()))
    }

    /// The answer that names what it answers; `None` for any other message.
    pub(crate) fn explicit_answer(&self) -> Result<Option<Answer>, InputError> {
        match self.data.as_ref().and_then(|data| data["approvalId"].as_str()) {
            Some(id) => self.decision(id.to_owned()).map(Some),
            None => Ok(None),
        }
    }

    /// The answer to what people are asked.
    pub(crate) fn answer(&self, asked: &[Approval]) -> Result<Answer, InputError> {
        let [approval] = asked else {
            let ids: Vec<&str> = asked.iter().map(|approval| approval.id.as_str()).collect();
            return Err(InputError::invalid(
                "message.parts",
                format!(
                    "more than one answer is awaited: send a data part with approvalId, one of {}",
                    ids.join(", ")
                ),
            ));
        };
        let id = approval.id.clone();
        if self.data.as_ref().is_some_and(|data| data["decision"].is_string()) {
            return self.decision(id);
        }
        match approval.kind {
            ApprovalKind::ToolCall => self.word(id),
            ApprovalKind::Question | ApprovalKind::Elicitation => Ok(self.reply(id, &approval.form)),
        }
    }

    /// `{"approvalId", "decision", "reason", "answer"}`.
    fn decision(&self, approval_id: String) -> Result<Answer, InputError> {
        let data = self.data.as_ref().unwrap_or(&Value::Null);
        let verdict = match data["decision"].as_str() {
            Some(APPROVE) => Verdict::Approved,
            Some(REJECT) => Verdict::Rejected,
            _ => {
                return Err(InputError::invalid(
                    "message.parts",
                    "decision must be \"approve\" or \"reject\"",
                ));
            }
        };
        Ok(Answer {
            approval_id,
            verdict,
            reason: data["reason"].as_str().map(cut),
            content: data["answer"].clone(),
        })
    }

    /// `approve`, `reject`, or `reject:` and a reason.
    fn word(&self, approval_id: String) -> Result<Answer, InputError> {
        let text = self.text.trim();
        let (word, reason) = match text.split_once(':') {
            Some((word, reason)) => (word.trim(), Some(reason.trim()).filter(|reason| !reason.is_empty())),
            None => (text, None),
        };
        let verdict = if word.eq_ignore_ascii_case(APPROVE) && reason.is_none() {
            Verdict::Approved
        } else if word.eq_ignore_ascii_case(REJECT) {
            Verdict::Rejected
        } else {
            return Err(InputError::invalid(
                "message.parts",
                "the task waits for a decision: answer \"approve\", \"reject\" or \"reject: why\", or send a data part \
                 {\"approvalId\", \"decision\": \"approve\" or \"reject\", \"reason\"}",
            ));
        };
        Ok(Answer {
            approval_id,
            verdict,
            reason: reason.map(cut),
            content: Value::Null,
        })
    }

    /// What a person says to a question. With a form it must fit; without one it is told to the model.
    fn reply(&self, approval_id: String, form: &Value) -> Answer {
        let (reason, content) = if form.is_null() {
            (Some(cut(&self.text)), Value::Null)
        } else {
            let data = self.data.clone();
            let answer = data.or_else(|| serde_json::from_str(&self.text).ok());
            (None, answer.unwrap_or_else(|| Value::String(self.text.clone())))
        };
        Answer {
            approval_id,
            verdict: Verdict::Approved,
            reason,
            content,
        }
    }
}

fn is_readable(media_type: &str) -> bool {
    let kind = media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind.is_empty() || kind.starts_with("text/") || kind == "application/json"
}

fn not_supported(what: &str) -> InputError {
    InputError {
        message: format!("a part of text or data cannot be {what}: it is text/*, or application/json for data"),
        field: "message.parts",
        reason: Some(CONTENT_TYPE_NOT_SUPPORTED),
    }
}

fn cut(reason: &str) -> String {
    reason.chars().take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(message: Value) -> Result<Incoming, InputError> {
        Incoming::read(serde_json::from_value(message).unwrap())
    }

    #[expect(clippy::needless_pass_by_value, reason = "built in place")]
    fn incoming(parts: Value) -> Incoming {
        read(json!({"messageId": "m", "role": "ROLE_USER", "parts": parts})).unwrap()
    }

    fn said(text: &str) -> Incoming {
        incoming(json!([{"text": text}]))
    }

    fn asked(kind: ApprovalKind, form: Value) -> Approval {
        Approval {
            id: "t.run.1.0.0".to_owned(),
            kind,
            agent: "haiku".to_owned(),
            turn: 1,
            tool: "pay".to_owned(),
            tool_call_id: "c".to_owned(),
            arguments: json!({"amount": 1}),
            arguments_truncated: false,
            requester: String::new(),
            prompt: String::new(),
            form,
            requested_at: jiff::Timestamp::UNIX_EPOCH,
            expires_at: None,
        }
    }

    #[test]
    fn the_parts_are_one_message() {
        let message =
            incoming(json!([{"text": "Refund", "mediaType": "text/markdown; charset=utf-8"}, {"data": {"order": 17}}]));
        assert_eq!(message.text, "Refund\n\n{\"order\":17}");
        assert_eq!((message.context_id, message.task_id), (None, None));
        assert_ne!(said("One").seed(), said("Two").seed());
    }

    #[test]
    fn what_is_no_message_of_a_user_is_refused_and_the_field_is_named() {
        let error = |message: Value| {
            let error = read(message).unwrap_err();
            (error.field, error.reason)
        };
        let parts = json!([{"text": "Hi"}]);
        assert_eq!(
            error(json!({"messageId": "m", "role": "ROLE_AGENT", "parts": parts})),
            ("message.role", None)
        );
        assert_eq!(
            error(json!({"messageId": "", "role": "ROLE_USER", "parts": parts})),
            ("message.messageId", None)
        );
        assert_eq!(
            error(json!({"messageId": "m", "role": "ROLE_USER", "parts": parts, "contextId": "c".repeat(256)})),
            ("message.contextId", None)
        );
        for empty in [json!([]), json!([{"text": " "}])] {
            assert_eq!(
                error(json!({"messageId": "m", "role": "ROLE_USER", "parts": empty})),
                ("message.parts", None)
            );
        }
        assert_eq!(
            error(json!({"messageId": "m", "role": "ROLE_USER",
                "parts": [{"text": "Hi", "mediaType": "application/x-unknown"}]})),
            ("message.parts", Some(CONTENT_TYPE_NOT_SUPPORTED))
        );
        assert_eq!(
            error(json!({"messageId": "m", "role": "ROLE_USER", "parts": [{"url": "http://example.com/a.png"}]})),
            ("message.parts", None)
        );
    }

    #[test]
    fn files_come_along_and_may_be_all_that_is_sent() {
        let of = |parts: Value| {
            let message = json!({"messageId": "m", "role": "ROLE_USER", "parts": parts});
            Incoming::read(serde_json::from_value(message).unwrap()).unwrap()
        };
        let read = of(json!([{"raw": "aGk=", "filename": "a.txt", "mediaType": "text/plain"}]));
        assert_eq!((read.text.as_str(), read.files.len()), ("", 1));
        assert_eq!((read.files[0].name.as_str(), read.files[0].sent_bytes()), ("a.txt", 2));
        let other = of(json!([{"raw": "aG8=", "filename": "a.txt", "mediaType": "text/plain"}]));
        assert_ne!(read.seed(), other.seed());
        let both = of(json!([{"text": "See:"}, {"url": "https://example.com/a.png", "mediaType": "image/png"}]));
        assert_eq!((both.text.as_str(), both.files.len()), ("See:", 1));
    }

    #[test]
    fn only_one_word_approves_a_call() {
        let asked = [asked(ApprovalKind::ToolCall, Value::Null)];
        let decided = |text: &str| said(text).answer(&asked).map(|answer| (answer.verdict, answer.reason));
        assert_eq!(decided(" Approve\n"), Ok((Verdict::Approved, None)));
        assert_eq!(decided("reject"), Ok((Verdict::Rejected, None)));
        assert_eq!(
            decided("Reject: too much"),
            Ok((Verdict::Rejected, Some("too much".to_owned())))
        );
        for other in [
            "yes",
            "ok",
            "approve: only 5",
            "approve it",
            "do not approve",
            "I reject",
            "true",
        ] {
            assert!(decided(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_data_part_decides_and_may_name_what_it_decides() {
        let asked = [asked(ApprovalKind::ToolCall, Value::Null)];
        let message = incoming(json!([{"data": {"decision": "reject", "reason": "no"}}]));
        let answer = message.answer(&asked).unwrap();
        assert_eq!(
            (answer.approval_id.as_str(), answer.verdict, answer.reason.as_deref()),
            ("t.run.1.0.0", Verdict::Rejected, Some("no"))
        );
        assert_eq!(message.explicit_answer(), Ok(None));
        let named = incoming(json!([{"text": "Fine."}, {"data": {"approvalId": "a", "decision": "approve"}}]));
        assert_eq!(named.explicit_answer().unwrap().unwrap().approval_id, "a");
        let wrong = incoming(json!([{"data": {"approvalId": "a", "decision": "yes"}}]));
        assert!(wrong.explicit_answer().is_err());
    }

    #[test]
    fn of_several_questions_the_answer_must_name_one() {
        let one = asked(ApprovalKind::ToolCall, Value::Null);
        let other = Approval {
            id: "t.run.1.0.1".to_owned(),
            ..one.clone()
        };
        let error = said("approve").answer(&[one, other]).unwrap_err();
        assert!(error.message.contains("t.run.1.0.0, t.run.1.0.1"), "{error}");
    }

    #[test]
    fn a_question_is_answered_in_words_or_by_its_form() {
        let plain = [asked(ApprovalKind::Question, Value::Null)];
        let answer = said("reject it, please").answer(&plain).unwrap();
        assert_eq!(
            (answer.verdict, answer.reason.as_deref(), answer.content),
            (Verdict::Approved, Some("reject it, please"), Value::Null)
        );
        let form = [asked(ApprovalKind::Elicitation, json!({"type": "object"}))];
        let answer = |message: Incoming| message.answer(&form).unwrap().content;
        assert_eq!(answer(incoming(json!([{"data": {"size": 3}}]))), json!({"size": 3}));
        assert_eq!(answer(said("{\"size\": 3}")), json!({"size": 3}));
        assert_eq!(answer(said("three")), json!("three"));
    }
}

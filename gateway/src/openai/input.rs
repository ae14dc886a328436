//! What a client of OpenAI's APIs sends: the new message, and what comes before it. A task takes
//! one message per turn and knows what was said in it; whatever else a client sends along is put
//! before the message as text. Pure.

mod parts;

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use steadfast_attachments::{Given, Refusal};

/// What a request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Input {
    /// What was said before, oldest first; the instructions of the client among it.
    before: Vec<Said>,
    /// The newest messages of the user, joined.
    message: String,
    /// What they bring along.
    attachments: Vec<Given>,
    /// Answers to questions of the response before.
    pub(crate) answers: Vec<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    role: String,
    text: String,
    attachments: Vec<Given>,
}

/// An `mcp_approval_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) approval_id: String,
    pub(crate) approve: bool,
    pub(crate) reason: Option<String>,
}

/// Why an input is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InputError {
    #[error("{0} must be a string or a list of items")]
    NotAList(&'static str),
    #[error("{0} must end with a message of the user")]
    NoMessage(&'static str),
    #[error("an item of type {0:?} cannot be sent to an agent; send messages, or mcp_approval_response")]
    Item(String),
    #[error("a part of type {0:?} cannot be sent to an agent; send text, images and files")]
    Part(String),
    #[error("files are not kept apart from messages: send file_data or file_url, or image_url, instead of file_id")]
    FileId,
    #[error(transparent)]
    Attachment(#[from] Refusal),
    #[error("an item is malformed: {0}")]
    Malformed(&'static str),
}

impl Input {
    /// Reads `input` of a Response, and its `instructions`.
    pub(crate) fn of_response(input: Option<&Value>, instructions: Option<&str>) -> Result<Self, InputError> {
        let mut said = Vec::new();
        let mut answers = Vec::new();
        match input {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => said.push(Said::of_user(text.clone())),
            Some(Value::Array(items)) => {
                for item in items {
                    match item["type"].as_str().unwrap_or("message") {
                        "message" => said.push(Said::read(item)?),
                        "mcp_approval_response" => answers.push(Answer::read(item)?),
                        // A client that sends the conversation again sends these along. The text around them says
                        // what came of them.
                        "reasoning" | "mcp_call" | "mcp_list_tools" | "mcp_approval_request" => {}
                        kind => return Err(InputError::Item(kind.to_owned())),
                    }
                }
            }
            Some(_) => return Err(InputError::NotAList("input")),
        }
        if let Some(instructions) = instructions.filter(|text| !text.trim().is_empty()) {
            said.insert(
                0,
                Said {
                    role: "system".to_owned(),
                    text: instructions.to_owned(),
                    attachments: Vec::new(),
                },
            );
        }
        Self::new(said, answers, "input")
    }

    /// Reads `messages` of a chat completion.
    pub(crate) fn of_chat(messages: Option<&Value>) -> Result<Self, InputError> {
        let Some(Value::Array(messages)) = messages else {
            return Err(InputError::NotAList("messages"));
        };
        let said = messages.iter().filter(|message| message["role"] != "tool");
        let said: Vec<Said> = said.map(Said::read).collect::<Result<_, _>>()?;
        Self::new(said, Vec::new(), "messages")
    }

    /// What the client instructs the model to do.
    pub(crate) fn instructions(&self) -> Option<&str> {
        let instructions = self.before.iter().find(|said| said.role == "system");
        instructions.map(|said| said.text.as_str())
    }

    fn new(mut said: Vec<Said>, answers: Vec<Answer>, field: &'static str) -> Result<Self, InputError> {
        let after = said
            .iter()
            .rposition(|said| said.role == "assistant")
            .map_or(0, |last| last + 1);
        let (mut newest, others): (Vec<Said>, Vec<Said>) = said.drain(after..).partition(|said| said.role == "user");
        let texts = newest.iter().map(|said| said.text.as_str());
        let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
        let message = texts.join("\n\n");
        let attachments: Vec<Given> = newest.iter_mut().flat_map(|said| said.attachments.drain(..)).collect();
        if message.trim().is_empty() && attachments.is_empty() && answers.is_empty() {
            return Err(InputError::NoMessage(field));
        }
        said.extend(others);
        Ok(Self {
            before: said,
            message,
            attachments,
            answers,
        })
    }

    /// The new message alone, for a task that has what was said before.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether there is a new message, beside answers.
    pub(crate) fn has_message(&self) -> bool {
        !self.message.trim().is_empty() || !self.attachments.is_empty()
    }

    /// Whether there is a new message and nothing else.
    pub(crate) fn is_message(&self) -> bool {
        self.before.is_empty() && self.answers.is_empty()
    }

    /// What the new message brings along.
    pub(crate) fn attachments(&self) -> &[Given] {
        &self.attachments
    }

    /// The new message, after what was said before: for a task that does not have it. Of earlier messages it has the
    /// text, and says where something came along.
    pub(crate) fn with_everything(&self) -> String {
        if self.before.is_empty() {
            return self.message.clone();
        }
        let mut text = "What was said before:\n".to_owned();
        for Said {
            role,
            text: said,
            attachments,
        } in &self.before
        {
            let _ = write!(text, "\n<{role}>\n{said}");
            for attachment in attachments {
                let _ = write!(text, "\n[{} {}]", attachment.kind.noun(), attachment.name);
            }
            let _ = write!(text, "\n</{role}>\n");
        }
        let _ = write!(text, "\nThe new message:\n\n{}", self.message);
        text
    }

    /// The same for the same conversation up to here: a request that a client repeats has the same.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        // What the agent said does not count: a client may shorten it.
        let of_user = self.before.iter().filter(|said| said.role == "user");
        for said in of_user {
            hash.update(said.text.len().to_le_bytes());
            hash.update(&said.text);
            said.attachments
                .iter()
                .for_each(|given| hash.update(given.fingerprint()));
        }
        hash.update(self.message.len().to_le_bytes());
        hash.update(&self.message);
        self.attachments
            .iter()
            .for_each(|given| hash.update(given.fingerprint()));
        format!("{:x}", hash.finalize())
    }
}

impl Said {
    fn of_user(text: String) -> Self {
        Self {
            role: "user".to_owned(),
            text,
            attachments: Vec::new(),
        }
    }

    fn read(item: &Value) -> Result<Self, InputError> {
        let role = match item["role"].as_str() {
            Some(role @ ("user" | "assistant" | "system")) => role,
            Some("developer") => "system",
            _ => {
                return Err(InputError::Malformed(
                    "role must be user, assistant, system or developer",
                ));
            }
        };
        let (text, attachments) = parts::read(&item["content"])?;
        Ok(Self {
            role: role.to_owned(),
            text,
            attachments,
        })
    }
}

impl Answer {
    fn read(item: &Value) -> Result<Self, InputError> {
        let (Some(id), Some(approve)) = (item["approval_request_id"].as_str(), item["approve"].as_bool()) else {
            return Err(InputError::Malformed(
                "an mcp_approval_response needs approval_request_id and approve",
            ));
        };
        Ok(Self {
            approval_id: id.to_owned(),
            approve,
            reason: item["reason"].as_str().map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn response(input: &Value) -> Result<Input, InputError> {
        Input::of_response(Some(input), None)
    }

    #[test]
    fn a_text_and_a_list_say_the_same() {
        let text = response(&json!("Hi")).unwrap();
        assert_eq!((text.message(), text.with_everything().as_str()), ("Hi", "Hi"));
        let parts = json!([{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]);
        assert_eq!(response(&parts), Ok(text.clone()));
        assert_eq!(
            Input::of_chat(Some(&json!([{"role": "user", "content": "Hi"}]))),
            Ok(text)
        );
    }

    #[test]
    fn only_what_follows_the_last_answer_is_new() {
        let chat = json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "1", "tool_calls": []},
            {"role": "tool", "content": "x", "tool_call_id": "c"},
            {"role": "user", "content": "Two?"},
        ]);
        let input = Input::of_chat(Some(&chat)).unwrap();
        assert_eq!(input.message(), "Two?");
        assert_eq!(
            input.with_everything(),
            "What was said before:\n\n<system>\nBe brief.\n</system>\n\n<user>\nOne?\n</user>\n\n<assistant>\n1\n\
             </assistant>\n\nThe new message:\n\nTwo?"
        );
    }

    #[test]
    fn the_fingerprint_is_that_of_what_the_user_said() {
        let chat = |answer: &str, new: &str| {
            let chat = json!([
                {"role": "user", "content": "One?"},
                {"role": "assistant", "content": answer},
                {"role": "user", "content": new},
            ]);
            Input::of_chat(Some(&chat)).unwrap().fingerprint()
        };
        assert_eq!(chat("1", "Two?"), chat("one", "Two?"));
        assert_ne!(chat("1", "Two?"), chat("1", "Three?"));
        assert_ne!(chat("1", "Two?"), response(&json!("One?Two?")).unwrap().fingerprint());
    }

    #[test]
    fn only_the_new_message_brings_something_along_and_it_may_have_no_text() {
        let image = |url: &str| json!([{"type": "image_url", "image_url": {"url": url}}]);
        let chat = |new: &str| {
            json!([
                {"role": "user", "content": image("https://example.com/one.png")},
                {"role": "assistant", "content": "1"},
                {"role": "user", "content": image(new)},
            ])
        };
        let read = |new: &str| Input::of_chat(Some(&chat(new))).unwrap();
        let input = read("https://example.com/two.png");
        assert_eq!((input.message(), input.attachments().len()), ("", 1));
        assert!(
            input.with_everything().contains("<user>\n\n[image ]\n</user>"),
            "{input:?}"
        );
        assert_eq!(input.fingerprint(), read("https://example.com/two.png").fingerprint());
        assert_ne!(input.fingerprint(), read("https://example.com/three.png").fingerprint());
    }

    #[test]
    fn instructions_come_before_the_message() {
        let input = Input::of_response(Some(&json!("Hi")), Some("Be brief.")).unwrap();
        assert!(
            input.with_everything().contains("<system>\nBe brief.\n</system>"),
            "{input:?}"
        );
        let input = Input::of_response(Some(&json!("Hi")), Some(" ")).unwrap();
        assert_eq!(input.with_everything(), "Hi");
    }

    #[test]
    fn answers_need_no_message() {
        let answer =
            json!([{"type": "mcp_approval_response", "approval_request_id": "a", "approve": false, "reason": "no"}]);
        let input = response(&answer).unwrap();
        assert_eq!(input.message(), "");
        assert_eq!(
            input.answers,
            [Answer {
                approval_id: "a".to_owned(),
                approve: false,
                reason: Some("no".to_owned())
            }]
        );
    }

    #[test]
    fn what_an_agent_cannot_take_is_refused() {
        use InputError::{Item, Malformed, NoMessage, NotAList, Part};
        let part = |kind: &str| json!([{"role": "user", "content": [{"type": kind, "image_url": "x"}]}]);
        for (input, error) in [
            (json!(null), NoMessage("input")),
            (json!(" "), NoMessage("input")),
            (json!([]), NoMessage("input")),
            (json!([{"role": "assistant", "content": "x"}]), NoMessage("input")),
            (json!(7), NotAList("input")),
            (part("input_audio"), Part("input_audio".to_owned())),
            (
                json!([{"type": "function_call_output", "call_id": "c", "output": "x"}]),
                Item("function_call_output".to_owned()),
            ),
            (
                json!([{"role": "robot", "content": "x"}]),
                Malformed("role must be user, assistant, system or developer"),
            ),
            (
                json!([7]),
                Malformed("role must be user, assistant, system or developer"),
            ),
            (
                json!([{"role": "user", "content": 7}]),
                Malformed("content must be a string or a list of parts"),
            ),
            (
                json!([{"role": "user", "content": [7]}]),
                Malformed("a part needs a type"),
            ),
            (
                json!([{"type": "mcp_approval_response", "approve": true}]),
                Malformed("an mcp_approval_response needs approval_request_id and approve"),
            ),
        ] {
            assert_eq!(response(&input), Err(error), "{input}");
        }
        assert_eq!(Input::of_chat(None), Err(NotAList("messages")));
        assert_eq!(
            Input::of_chat(Some(&json!([{"role": "tool", "content": "x"}]))),
            Err(NoMessage("messages"))
        );
    }
}

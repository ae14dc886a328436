//! The messages of a task as the items of a conversation, and the pages of a list. Pure.

use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_attachments::{Attachment, Detail, Kind, Source};
use steadfast_events::{Author, Content, Message};

use super::{ids::FileId, items::TurnItems, responses::item_json};

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;

/// All items, oldest first.
pub(crate) fn items_of(messages: &[Message], server: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut rest = messages;
    while let Some(first) = rest.first() {
        let turn = rest.iter().take_while(|message| message.turn == first.turn).count();
        let (of_turn, others) = rest.split_at(turn);
        items.extend(
            of_turn
                .iter()
                .filter(|message| message.author == Author::User)
                .map(user_item),
        );
        let written = TurnItems::of_messages(of_turn);
        items.extend(written.items().iter().map(|item| item_json(item, server)));
        rest = others;
    }
    items
}

/// A message of a user.
pub(crate) fn user_item(message: &Message) -> Value {
    let (text, attachments) = match &message.content {
        Content::Text { text, attachments, .. } => (text.clone(), attachments.as_slice()),
        Content::Data { data } => (data.to_string(), [].as_slice()),
        Content::Reasoning { .. } | Content::ToolRequest { .. } | Content::ToolResponse { .. } => {
            (String::new(), [].as_slice())
        }
    };
    let text = (!text.is_empty() || attachments.is_empty()).then(|| json!({"type": "input_text", "text": text}));
    let content: Vec<Value> = text.into_iter().chain(attachments.iter().map(part)).collect();
    json!({
        "id": format!("msg_{}", message.id.replace('-', "")), "type": "message", "role": "user", "status": "completed",
        "content": content,
    })
}

/// An attachment as a part of a message. Clients read what is stored here by its id, as with OpenAI's own files.
fn part(attachment: &Attachment) -> Value {
    let (file_id, url) = match &attachment.source {
        Source::Stored { location, .. } => (FileId::of_location(location).map(|id| id.to_string()), None),
        Source::Url(url) => (None, Some(url)),
    };
    match attachment.kind {
        Kind::Image => json!({
            "type": "input_image", "detail": attachment.detail.unwrap_or(Detail::Auto).as_str(), "file_id": file_id,
            "image_url": url,
        }),
        Kind::File => json!({
            "type": "input_file", "file_id": file_id, "filename": attachment.name, "file_url": url,
        }),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    Asc,
    #[default]
    Desc,
}

/// A part of a list, as OpenAI's clients ask for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slice<'a> {
    /// The id of the last element of the part before.
    pub(crate) after: Option<&'a str>,
    pub(crate) limit: Option<usize>,
    pub(crate) order: Order,
}

/// Why a list has no such part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SliceError {
    #[error("limit is 1 to {MAX_LIMIT}")]
    Limit,
    #[error("the list has no element with the id of after")]
    After,
}

impl SliceError {
    pub(crate) fn param(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::After => "after",
        }
    }
}

impl Slice<'_> {
    /// The part of a list whose elements are in ascending order.
    pub(crate) fn of(self, mut list: Vec<Value>) -> Result<Value, SliceError> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(SliceError::Limit);
        }
        if self.order == Order::Desc {
            list.reverse();
        }
        if let Some(after) = self.after {
            let place = list.iter().position(|element| element["id"] == *after);
            list.drain(..=place.ok_or(SliceError::After)?);
        }
        let has_more = list.len() > limit;
        list.truncate(limit);
        let id = |element: Option<&Value>| element.map(|element| element["id"].clone());
        Ok(json!({
            "object": "list", "first_id": id(list.first()), "last_id": id(list.last()), "has_more": has_more,
            "data": list,
        }))
    }
}

#[cfg(test)]
mod tests {
    use steadfast_events::testing::{message, text};

    use super::*;

    #[test]
    fn a_user_and_an_agent_take_turns() {
        let turn = |turn, user: &str, agent: &str| {
            let of_user = Message {
                author: Author::User,
                turn,
                ..message(&format!("u-{turn}"), text(user))
            };
            let of_agent = Message {
                turn,
                ..message(&format!("a-{turn}"), text(agent))
            };
            [of_user, of_agent]
        };
        let messages = [turn(1, "One?", "1"), turn(2, "Two?", "2")].concat();
        let items = items_of(&messages, "haiku");
        let said: Vec<(&str, &str)> = items
            .iter()
            .map(|item| {
                (
                    item["role"].as_str().unwrap(),
                    item["content"][0]["text"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            said,
            [
                ("user", "One?"),
                ("assistant", "1"),
                ("user", "Two?"),
                ("assistant", "2")
            ]
        );
        assert_eq!((&items[0]["id"], &items[1]["id"]), (&json!("msg_u1"), &json!("msg_a1")));
    }

    #[test]
    fn a_message_shows_its_attachments_by_id_or_by_url() {
        let (task, sha256) = ("0190c0de-0000-7000-8000-000000000001", "ab".repeat(32));
        let attachments: Vec<Attachment> = serde_json::from_value(json!([
            {
                "kind": "image", "media_type": "image/png", "detail": "low",
                "source": {"stored": {"sha256": sha256, "size_bytes": 7, "location": format!("i/n/{task}/{sha256}")}},
            },
            {"kind": "file", "name": "a.pdf", "source": {"url": "https://example.com/a.pdf"}},
        ]))
        .unwrap();
        let content = Content::Text {
            text: String::new(),
            format: steadfast_events::TextFormat::Plain,
            attachments,
        };
        let file_id = format!("file-{}{sha256}", task.replace('-', ""));
        assert_eq!(
            user_item(&message("u", content))["content"],
            json!([
                {"type": "input_image", "detail": "low", "file_id": file_id, "image_url": null},
                {"type": "input_file", "file_id": null, "filename": "a.pdf", "file_url": "https://example.com/a.pdf"},
            ])
        );
    }

    #[test]
    fn a_list_comes_in_parts() {
        let list = || (1..=5).map(|id| json!({ "id": id.to_string() })).collect::<Vec<_>>();
        let ids = |part: &Value| {
            let ids: Vec<String> = part["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|element| element["id"].as_str().unwrap().to_owned())
                .collect();
            ids.concat()
        };
        let slice = |after, limit, order| Slice { after, limit, order };
        let part = slice(None, Some(2), Order::Desc).of(list()).unwrap();
        assert_eq!(
            (ids(&part).as_str(), &part["last_id"], &part["has_more"]),
            ("54", &json!("4"), &json!(true))
        );
        let part = slice(Some("4"), Some(3), Order::Desc).of(list()).unwrap();
        assert_eq!((ids(&part).as_str(), &part["has_more"]), ("321", &json!(false)));
        let part = slice(Some("5"), None, Order::Asc).of(list()).unwrap();
        assert_eq!((ids(&part).as_str(), &part["first_id"]), ("", &Value::Null));
        assert_eq!(slice(None, Some(0), Order::Asc).of(list()), Err(SliceError::Limit));
        assert_eq!(slice(None, Some(101), Order::Asc).of(list()), Err(SliceError::Limit));
        assert_eq!(slice(Some("9"), None, Order::Asc).of(list()), Err(SliceError::After));
    }
}

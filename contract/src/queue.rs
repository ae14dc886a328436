//! Messages that were accepted and wait for their turn.

use serde::{Deserialize, Serialize};
use steadfast_agent_loop::{Body, Segment, UserContent};
use steadfast_events::Content;

/// A message that was accepted and waits for its turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueuedMessage {
    pub turn: u32,
    pub message_id: String,
    pub content: UserContent,
    pub at: jiff::Timestamp,
}

impl QueuedMessage {
    /// The segment it becomes; it is known by its reference from the moment it was accepted.
    pub fn to_segment(&self) -> Segment {
        Segment {
            turn: self.turn,
            step: 0,
            at: self.at,
            body: Body::User {
                message_id: self.message_id.clone(),
                content: self.content.clone(),
            },
        }
    }

    /// The message that a segment came from.
    pub fn of_segment(segment: Segment) -> Option<Self> {
        match segment.body {
            Body::User { message_id, content } => Some(Self {
                turn: segment.turn,
                message_id,
                content,
                at: segment.at,
            }),
            _ => None,
        }
    }
}

/// What a person may send: text that is not empty, or data.
pub fn user_content(content: Content) -> Option<UserContent> {
    match content {
        Content::Text { text, .. } if !text.trim().is_empty() => Some(UserContent::Text(text)),
        Content::Data { data } => Some(UserContent::Data(data)),
        _ => None,
    }
}

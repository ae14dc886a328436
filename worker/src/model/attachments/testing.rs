//! Messages with attachments, for tests.

use steadfast_agent_loop::{Body, Segment, UserContent};
use steadfast_attachments::Attachment;

pub(crate) fn message(turn: u32, text: &str, attachments: Vec<Attachment>) -> Segment {
    Segment {
        turn,
        step: 0,
        at: jiff::Timestamp::UNIX_EPOCH,
        body: Body::User {
            message_id: format!("m{turn}"),
            idempotency_key: None,
            content: UserContent::Attached {
                text: text.to_owned(),
                attachments,
            },
            sender: String::new(),
        },
    }
}

//! Why an attachment is refused.

use std::borrow::Cow;

use crate::{
    limits::{MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_MESSAGE_ATTACHMENT_BYTES},
    media_type::MediaTypeError,
};

/// Why an attachment is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More than a message may have.
    #[error("a message has at most {MAX_ATTACHMENTS} attachments")]
    TooMany,
    /// The bytes of one.
    #[error("an attachment has at most {MAX_ATTACHMENT_BYTES} bytes")]
    TooLarge,
    /// The bytes of all.
    #[error("the attachments of a message have at most {MAX_MESSAGE_ATTACHMENT_BYTES} bytes together")]
    TooLargeTogether,
    /// Nothing in it.
    #[error("the attachment is empty")]
    Empty,
    /// What it is.
    #[error("the attachment{} cannot be sent: {source}", of(name))]
    MediaType {
        /// Its name.
        name: String,
        /// Why.
        source: MediaTypeError,
    },
    /// Not what a URL or a base64 text must be.
    #[error("{0}")]
    Malformed(Cow<'static, str>),
}

impl Refusal {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "too_many_attachments",
            Self::TooLarge | Self::TooLargeTogether => "attachment_too_large",
            Self::MediaType { .. } => "unsupported_media_type",
            Self::Empty | Self::Malformed(_) => "invalid_attachment",
        }
    }
}

fn of(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!(" {name:?}")
    }
}

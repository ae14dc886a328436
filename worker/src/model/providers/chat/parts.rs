//! A message with attachments in the form of the Chat Completions API.

use std::borrow::Cow;

use serde::Serialize;
use steadfast_attachments::Detail;

use crate::model::attachments::Part;

/// A part in the form of the Chat Completions API, where it is no text.
pub(crate) fn chat_part<'a>(part: &'a Part<'_>) -> ChatPart<'a> {
    match part {
        Part::Text(text) => ChatPart::Text {
            text: Cow::Borrowed(text),
        },
        Part::Image { url, detail } => ChatPart::ImageUrl {
            image_url: ImageUrl {
                url,
                detail: detail.map(Detail::as_str),
            },
        },
        Part::File { name, data_url } => ChatPart::File {
            file: File {
                filename: name,
                file_data: data_url,
            },
        },
        // Refused before, or told by its name.
        Part::FileUrl(url) => ChatPart::Text {
            text: Cow::Borrowed(url),
        },
    }
}

/// A part of a message in the form of the Chat Completions API.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ChatPart<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
    File { file: File<'a> },
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ImageUrl<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct File<'a> {
    filename: &'a str,
    file_data: &'a str,
}

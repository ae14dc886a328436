//! Which attachments of a conversation a request has, and in which form. Those of the message that is answered are sent,
//! or the call fails: a person must not believe that the model saw what it did not. Of earlier messages, what no longer
//! can be sent is told by its name. Pure.

mod refusal;
#[cfg(test)]
pub(crate) mod testing;

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};
use steadfast_agent_loop::{Body, Segment};
use steadfast_attachments::{
    Attachment, Detail, Kind, Source, limits::MAX_REQUEST_ATTACHMENT_BYTES, media_type::is_text,
};
use steadfast_crds::model::ModelApi;

pub(crate) use self::refusal::{may_be_about_attachments, unsupported};
use crate::failure::CallFailure;

/// Type of a failure: the model does not take what the message brings along.
const UNSUPPORTED: &str = "attachment_unsupported";

/// The content of stored attachments, for one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestAttachments {
    /// The turn that the request belongs to.
    pub turn: u32,
    /// By SHA-256.
    contents: BTreeMap<String, Content>,
}

/// A request without the content of any attachment.
pub(crate) static NONE: RequestAttachments = RequestAttachments {
    turn: u32::MAX,
    contents: BTreeMap::new(),
};

#[derive(Clone, Debug)]
enum Content {
    DataUrl(String),
    Text(String),
}

/// Whether the attachments of earlier messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    Sent,
    /// The model is told their names.
    Told,
}

/// A stored attachment that a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredAttachment<'a> {
    pub attachment: &'a Attachment,
    pub sha256: &'a str,
    pub location: &'a str,
    /// It belongs to the message that is answered.
    pub is_needed: bool,
}

/// The stored attachments that a request of this turn has, the newest ones first, within the limit of a request.
pub(crate) fn stored_attachments<'a>(transcript: &[&'a Segment], turn: u32) -> Vec<StoredAttachment<'a>> {
    let mut stored: Vec<StoredAttachment<'a>> = Vec::new();
    let mut bytes = 0;
    for segment in transcript.iter().rev() {
        let content = match &segment.body {
            Body::User { content, .. } => content,
            // What is before it is not sent.
            Body::Summary { .. } => break,
            _ => continue,
        };
        for attachment in content.attachments() {
            let Source::Stored { sha256, location, .. } = &attachment.source else {
                continue;
            };
            if stored.iter().any(|stored| stored.sha256 == sha256) {
                continue;
            }
            let is_needed = segment.turn == turn;
            let size = attachment.stored_bytes();
            if is_needed || bytes + size <= MAX_REQUEST_ATTACHMENT_BYTES {
                bytes += size;
                stored.push(StoredAttachment {
                    attachment,
                    sha256,
                    location,
                    is_needed,
                });
            }
        }
    }
    stored
}

/// The attachments of the message that is answered.
fn answered<'a>(transcript: &[&'a Segment], turn: u32) -> impl Iterator<Item = &'a Attachment> {
    let of_turn = transcript.iter().filter(move |segment| segment.turn == turn);
    let attachments = of_turn.filter_map(|segment| match &segment.body {
        Body::User { content, .. } => Some(content.attachments()),
        _ => None,
    });
    attachments.flatten()
}

/// The message that is answered has something for which the API has no form.
pub(crate) fn refuse_without_form(transcript: &[&Segment], turn: u32, api: ModelApi) -> Result<(), CallFailure> {
    match answered(transcript, turn).find(|attachment| !has_form(attachment, api)) {
        Some(attachment) => Err(CallFailure::permanent(
            UNSUPPORTED,
            format!(
                "the agent's model is called by the Chat Completions API, which takes no file by its URL ({}): send its \
                 content",
                attachment.label()
            ),
        )),
        None => Ok(()),
    }
}

fn has_form(attachment: &Attachment, api: ModelApi) -> bool {
    api == ModelApi::Responses || attachment.kind == Kind::Image || matches!(attachment.source, Source::Stored { .. })
}

impl RequestAttachments {
    pub(crate) fn of_turn(turn: u32) -> Self {
        Self {
            turn,
            contents: BTreeMap::new(),
        }
    }

    /// Adds the bytes of an attachment, in the form that the API takes. Chat Completions gets a text file as text; everything
    /// else is a data URL.
    pub(crate) fn add(&mut self, stored: &StoredAttachment<'_>, api: ModelApi, bytes: &[u8]) {
        let StoredAttachment { attachment, sha256, .. } = stored;
        let content = if api == ModelApi::ChatCompletions && is_text(&attachment.media_type) {
            Content::Text(String::from_utf8_lossy(bytes).into_owned())
        } else {
            let head = format!("data:{};base64,", attachment.media_type);
            let mut url = String::with_capacity(head.len() + bytes.len().div_ceil(3) * 4);
            url.push_str(&head);
            STANDARD.encode_string(bytes, &mut url);
            Content::DataUrl(url)
        };
        self.contents.insert((*sha256).to_owned(), content);
    }
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Text(Cow<'a, str>),
    Image { url: &'a str, detail: Option<Detail> },
    File { name: Cow<'a, str>, data_url: &'a str },
    FileUrl(&'a str),
}

/// A message of a user that has attachments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    pub turn: u32,
    pub text: &'a str,
    pub attachments: &'a [Attachment],
}

/// A message of a user as its parts, and whether some of them are attachments that can be left out.
pub(crate) fn parts<'a>(
    sent: Sent<'a>,
    of: &'a RequestAttachments,
    earlier: Earlier,
    api: ModelApi,
) -> (Vec<Part<'a>>, bool) {
    let Sent {
        turn,
        text,
        attachments,
    } = sent;
    let is_answered = turn == of.turn;
    let mut has_earlier = false;
    let mut parts: Vec<Part<'a>> = Vec::new();
    if !text.is_empty() {
        parts.push(Part::Text(Cow::Borrowed(text)));
    }
    for attachment in attachments {
        let part = if is_answered || earlier == Earlier::Sent {
            part(attachment, of, api)
        } else {
            None
        };
        has_earlier |= part.is_some() && !is_answered;
        parts.push(part.unwrap_or_else(|| {
            let label = attachment.label();
            Part::Text(Cow::Owned(format!(
                "[The user sent the {label} here, which you cannot see now.]"
            )))
        }));
    }
    (parts, has_earlier)
}

fn part<'a>(attachment: &'a Attachment, of: &'a RequestAttachments, api: ModelApi) -> Option<Part<'a>> {
    let detail = attachment.detail;
    match (&attachment.source, attachment.kind) {
        (Source::Url(url), Kind::Image) => Some(Part::Image { url, detail }),
        (Source::Url(url), Kind::File) => has_form(attachment, api).then_some(Part::FileUrl(url)),
        (Source::Stored { sha256, .. }, kind) => Some(match (of.contents.get(sha256)?, kind) {
            (Content::DataUrl(url), Kind::Image) => Part::Image { url, detail },
            (Content::DataUrl(data_url), Kind::File) => Part::File {
                name: file_name(attachment),
                data_url,
            },
            (Content::Text(text), _) => {
                let name = file_name(attachment);
                Part::Text(Cow::Owned(format!("The file {name}:\n\n{text}")))
            }
        }),
    }
}

/// Providers want a name, with an ending that says what it is.
fn file_name(attachment: &Attachment) -> Cow<'_, str> {
    match (attachment.name.as_str(), attachment.media_type.as_str()) {
        ("", "application/pdf") => Cow::Borrowed("file.pdf"),
        ("", media_type) if is_text(media_type) => Cow::Borrowed("file.txt"),
        ("", _) => Cow::Borrowed("file"),
        (name, _) => Cow::Borrowed(name),
    }
}

/// As the Responses API has it.
impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => members(serializer, [("type", "input_text"), ("text", text.as_ref())]),
            Self::Image { url, detail } => {
                let detail = detail.unwrap_or(Detail::Auto).as_str();
                members(
                    serializer,
                    [("type", "input_image"), ("detail", detail), ("image_url", *url)],
                )
            }
            Self::File { name, data_url } => members(
                serializer,
                [
                    ("type", "input_file"),
                    ("filename", name.as_ref()),
                    ("file_data", *data_url),
                ],
            ),
            Self::FileUrl(url) => members(serializer, [("type", "input_file"), ("file_url", *url)]),
        }
    }
}

fn members<const N: usize, S: Serializer>(serializer: S, members: [(&str, &str); N]) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members)
}

/// A message of a user in the form of the Responses API.
pub(crate) fn serialize_message<S: Serializer>(parts: &[Part<'_>], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Message<'a> {
        role: &'static str,
        content: &'a [Part<'a>],
    }
    Message {
        role: "user",
        content: parts,
    }
    .serialize(serializer)
}

#[cfg(test)]
mod tests;

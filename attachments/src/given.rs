//! What a client gives: bytes, in base64 or as they are, or a URL. Checked here, before anything is stored.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{
    attachment::{Attachment, Detail, Kind, Source},
    limits::{
        MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_MEDIA_TYPE_BYTES, MAX_MESSAGE_ATTACHMENT_BYTES, MAX_NAME_BYTES,
    },
    media_type::{IMAGES, MediaTypeError, media_type, normalized},
    object_name::{is_sha256, sha256_of},
    public_url::url_for_model,
    refusal::Refusal,
};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    // Some clients leave the padding out.
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An attachment as a client gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// How the client sends it; bytes that are an image are one whatever it says.
    pub kind: Kind,
    /// Its file name; empty where the client gives none.
    pub name: String,
    /// How closely the model looks at an image.
    pub detail: Option<Detail>,
    /// The bytes, or where they are.
    pub content: GivenContent,
}

/// The bytes of a given attachment, or where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenContent {
    /// The bytes themselves.
    Bytes {
        /// The media type that the client declares.
        declared: Option<String>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The model reads them there.
    Url(String),
    /// They were uploaded to the task before.
    Uploaded {
        /// The media type that the client declares.
        declared: Option<String>,
        /// The SHA-256 of the bytes.
        sha256: String,
    },
}

/// Bytes that may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    kind: Kind,
    name: String,
    media_type: String,
    detail: Option<Detail>,
    /// The SHA-256 of the bytes.
    pub sha256: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Given {
    /// What stands in a field for URLs: a data URL with the bytes, or an https URL.
    pub fn by_url(kind: Kind, url: &str, name: &str, detail: Option<Detail>) -> Result<Self, Refusal> {
        let content = match data_url(url)? {
            Some(content) => content,
            None => GivenContent::Url(url_for_model(url)?),
        };
        Ok(Self {
            kind,
            name: name.to_owned(),
            detail,
            content,
        })
    }

    /// What stands in a field for the content of a file: a data URL, or base64 alone.
    pub fn by_data(kind: Kind, data: &str, declared: Option<&str>, name: &str) -> Result<Self, Refusal> {
        let content = match data_url(data)? {
            Some(content) => content,
            None => GivenContent::Bytes {
                declared: declared.map(str::to_owned),
                bytes: decode(data)?,
            },
        };
        Ok(Self {
            kind,
            name: name.to_owned(),
            detail: None,
            content,
        })
    }

    /// What was uploaded before; `None` for an id that no upload has.
    pub fn by_id(id: &str, declared: Option<&str>, name: &str) -> Option<Self> {
        is_sha256(id).then(|| Self {
            kind: Kind::File,
            name: name.to_owned(),
            detail: None,
            content: GivenContent::Uploaded {
                declared: declared.map(str::to_owned),
                sha256: id.to_owned(),
            },
        })
    }

    /// The attachment of a URL; `None` for what has bytes.
    pub fn to_linked(&self) -> Option<Attachment> {
        let GivenContent::Url(url) = &self.content else {
            return None;
        };
        Some(Attachment {
            kind: self.kind,
            name: file_name(&self.name),
            media_type: String::new(),
            detail: self.detail,
            source: Source::Url(url.clone()),
        })
    }

    /// The same for the same attachment, for whoever compares messages.
    pub fn fingerprint(&self) -> String {
        match &self.content {
            GivenContent::Bytes { bytes, .. } => sha256_of(bytes),
            GivenContent::Url(url) => sha256_of(url.as_bytes()),
            GivenContent::Uploaded { sha256, .. } => sha256.clone(),
        }
    }

    /// How many bytes the client sends along.
    pub fn sent_bytes(&self) -> usize {
        match &self.content {
            GivenContent::Bytes { bytes, .. } => bytes.len(),
            GivenContent::Url(_) | GivenContent::Uploaded { .. } => 0,
        }
    }
}

impl Checked {
    /// Checks bytes against the limits and their declaration.
    pub fn new(
        kind: Kind,
        name: &str,
        detail: Option<Detail>,
        declared: Option<&str>,
        bytes: Vec<u8>,
    ) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Err(Refusal::Empty);
        }
        if bytes.len() > MAX_ATTACHMENT_BYTES {
            return Err(Refusal::TooLarge);
        }
        if declared.is_some_and(|declared| declared.len() > MAX_MEDIA_TYPE_BYTES) {
            return Err(Refusal::Malformed(
                format!("a media type is at most {MAX_MEDIA_TYPE_BYTES} bytes long").into(),
            ));
        }
        let name = file_name(name);
        let refused = |source| Refusal::MediaType {
            name: name.clone(),
            source,
        };
        let media_type = media_type(&bytes, declared, &name).map_err(refused)?;
        let is_image = IMAGES.contains(&media_type.as_str());
        if kind == Kind::Image && !is_image {
            return Err(refused(MediaTypeError::Mismatch {
                declared: "an image".to_owned(),
                actual: media_type,
            }));
        }
        Ok(Self {
            kind: if is_image { Kind::Image } else { Kind::File },
            name,
            detail: detail.filter(|_| is_image),
            media_type,
            sha256: sha256_of(&bytes),
            bytes,
        })
    }

    /// The reference to it, where it is stored at this location.
    pub fn to_attachment(&self, location: String) -> Attachment {
        Attachment {
            kind: self.kind,
            name: self.name.clone(),
            media_type: self.media_type.clone(),
            detail: self.detail,
            source: Source::Stored {
                sha256: self.sha256.clone(),
                size_bytes: self.bytes.len() as u64,
                location,
            },
        }
    }
}

/// Checks how many attachments a message has, and how much of them it brings along.
pub fn check_message(given: &[Given]) -> Result<(), Refusal> {
    if given.len() > MAX_ATTACHMENTS {
        return Err(Refusal::TooMany);
    }
    if given.iter().map(Given::sent_bytes).sum::<usize>() > MAX_MESSAGE_ATTACHMENT_BYTES {
        return Err(Refusal::TooLargeTogether);
    }
    Ok(())
}

/// The bytes of a data URL; `None` for another URL.
fn data_url(url: &str) -> Result<Option<GivenContent>, Refusal> {
    let Some(rest) = strip_scheme(url, "data:") else {
        return Ok(None);
    };
    let malformed = || Refusal::Malformed("a data URL must be data:MEDIA_TYPE;base64,DATA".into());
    let (head, data) = rest.split_once(',').ok_or_else(malformed)?;
    let declared = head.strip_suffix(";base64").ok_or_else(malformed)?;
    Ok(Some(GivenContent::Bytes {
        declared: Some(declared).filter(|declared| !declared.is_empty()).map(normalized),
        bytes: decode(data)?,
    }))
}

fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = url.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn decode(base64: &str) -> Result<Vec<u8>, Refusal> {
    let base64 = base64.trim();
    // Before anything is decoded.
    if base64.len() / 4 * 3 > MAX_ATTACHMENT_BYTES + 3 {
        return Err(Refusal::TooLarge);
    }
    BASE64
        .decode(base64)
        .map_err(|error| Refusal::Malformed(format!("the content of an attachment is no base64: {error}").into()))
}

/// The last part of a name that may be a path, without signs that control anything.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name: String = last.chars().filter(|sign| !sign.is_control()).collect();
    name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    fn data(media_type: &str, bytes: &[u8]) -> String {
        format!("data:{media_type};base64,{}", BASE64.encode(bytes))
    }

    #[test]
    fn a_data_url_is_its_bytes_and_an_https_url_stays_what_it_is() {
        let given = Given::by_url(Kind::Image, &data("image/png", PNG), "", Some(Detail::High)).unwrap();
        let bytes = GivenContent::Bytes {
            declared: Some("image/png".to_owned()),
            bytes: PNG.to_vec(),
        };
        assert_eq!(given.content, bytes);
        assert_eq!(given.to_linked(), None);
        let url = "https://pictures.example.com/tea.png?sig=a%2Fb";
        let linked = Given::by_url(Kind::Image, url, "", None).unwrap().to_linked().unwrap();
        assert_eq!(linked.source, Source::Url(url.to_owned()));
    }

    #[test]
    fn a_file_is_given_as_a_data_url_or_as_base64_alone() {
        let bytes = |data: &str| match Given::by_data(Kind::File, data, None, "a.txt").unwrap().content {
            GivenContent::Bytes { declared, bytes } => (declared, bytes),
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes("aGk"), (None, b"hi".to_vec()));
        assert_eq!(bytes("aGk="), (None, b"hi".to_vec()));
        assert_eq!(
            bytes("data:text/plain;charset=utf-8;base64,aGk="),
            (Some("text/plain".to_owned()), b"hi".to_vec())
        );
        let error = Given::by_data(Kind::File, "no base64!", None, "").unwrap_err();
        assert_eq!(error.code(), "invalid_attachment");
    }

    #[test]
    fn limits_are_checked_before_anything_is_decoded_or_stored() {
        let base64 = "A".repeat(MAX_ATTACHMENT_BYTES / 3 * 4 + 8);
        assert_eq!(Given::by_data(Kind::File, &base64, None, ""), Err(Refusal::TooLarge));
        let large = vec![b'a'; MAX_ATTACHMENT_BYTES + 1];
        assert_eq!(Checked::new(Kind::File, "", None, None, large), Err(Refusal::TooLarge));
        assert_eq!(
            Checked::new(Kind::File, "", None, None, Vec::new()),
            Err(Refusal::Empty)
        );
        let given = |bytes: usize| Given {
            kind: Kind::File,
            name: String::new(),
            detail: None,
            content: GivenContent::Bytes {
                declared: None,
                bytes: vec![b'a'; bytes],
            },
        };
        assert_eq!(check_message(&vec![given(1); MAX_ATTACHMENTS]), Ok(()));
        assert_eq!(
            check_message(&vec![given(1); MAX_ATTACHMENTS + 1]),
            Err(Refusal::TooMany)
        );
        assert_eq!(
            check_message(&vec![given(MAX_ATTACHMENT_BYTES); 2]),
            Err(Refusal::TooLargeTogether)
        );
    }

    #[test]
    fn an_image_is_an_image_however_it_is_sent_and_a_file_is_none() {
        let checked = Checked::new(Kind::File, "../tea\n.png", Some(Detail::Low), None, PNG.to_vec()).unwrap();
        let attachment = checked.to_attachment("i/n/t/x".to_owned());
        assert_eq!(
            (
                attachment.kind,
                attachment.name.as_str(),
                attachment.media_type.as_str()
            ),
            (Kind::Image, "tea.png", "image/png")
        );
        let error = Checked::new(Kind::Image, "a.txt", None, None, b"hi".to_vec()).unwrap_err();
        assert_eq!(error.code(), "unsupported_media_type");
        assert_eq!(
            error.to_string(),
            "the attachment \"a.txt\" cannot be sent: it is declared as an image, and its bytes are text/plain"
        );
    }
}

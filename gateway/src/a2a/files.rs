//! Parts that are files: those of a message that a client sends, and how a history shows them. Pure.

use a2a_types::Part;
use serde_json::json;
use steadfast_attachments::{Attachment, Given, GivenContent, Kind, Refusal, Source, media_type::normalized};

/// The bytes of a part. What they are, they say themselves.
pub(super) fn of_bytes(bytes: Vec<u8>, media_type: Option<String>, name: Option<String>) -> Given {
    Given {
        kind: Kind::File,
        name: name.unwrap_or_default(),
        detail: None,
        content: GivenContent::Bytes {
            declared: media_type,
            bytes,
        },
    }
}

/// The URL of a part. Nobody reads it here, so its media type alone says whether it is an image.
pub(super) fn of_url(url: &str, media_type: Option<&str>, name: Option<&str>) -> Result<Given, Refusal> {
    let is_image = media_type.is_some_and(|declared| normalized(declared).starts_with("image/"));
    let kind = if is_image { Kind::Image } else { Kind::File };
    Given::by_url(kind, url, name.unwrap_or_default(), None)
}

/// How a history shows a file: the URL that was sent, or what names the bytes for those who may read them.
pub(super) fn part(attachment: &Attachment) -> Part {
    let mut part = match &attachment.source {
        Source::Url(url) => Part::url(url.clone()),
        Source::Stored { sha256, size_bytes, .. } => {
            return Part::data(json!({"file": {
                "fileId": sha256,
                "filename": attachment.name,
                "mediaType": attachment.media_type,
                "sizeBytes": size_bytes,
            }}));
        }
    };
    part.filename = Some(attachment.name.clone()).filter(|name| !name.is_empty());
    part.media_type = match attachment.kind {
        Kind::Image => Some("image/*".to_owned()),
        Kind::File => None,
    };
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_as_it_was_sent_and_bytes_are_named() {
        let url = "https://example.com/a.png";
        let linked = of_url(url, Some("Image/PNG"), Some("a.png"))
            .unwrap()
            .to_linked()
            .unwrap();
        let shown = part(&linked);
        assert_eq!(
            serde_json::to_value(&shown).unwrap(),
            json!({"url": url, "filename": "a.png", "mediaType": "image/*"})
        );
        let stored = Attachment {
            kind: Kind::File,
            name: "a.txt".to_owned(),
            media_type: "text/plain".to_owned(),
            detail: None,
            source: Source::Stored {
                sha256: "ab".to_owned(),
                size_bytes: 2,
                location: "i/n/t/ab".to_owned(),
            },
        };
        assert_eq!(
            serde_json::to_value(part(&stored)).unwrap()["data"]["file"],
            json!({"fileId": "ab", "filename": "a.txt", "mediaType": "text/plain", "sizeBytes": 2})
        );
    }

    #[test]
    fn a_url_is_an_image_if_its_media_type_says_so_and_must_be_public() {
        let kind = |media_type| of_url("https://example.com/a", media_type, None).unwrap().kind;
        assert_eq!((kind(None), kind(Some("image/webp"))), (Kind::File, Kind::Image));
        assert!(of_url("http://example.com/a", None, None).is_err());
    }
}

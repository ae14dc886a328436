//! Which media types an attachment may have, told from its bytes. What its sender declares must agree with them. Pure.

/// Images that the model APIs take.
pub const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// Documents that the model APIs take.
pub const DOCUMENTS: [&str; 4] = [
    "application/pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
];
/// Text with another media type than `text/…`.
const TEXT_APPLICATIONS: [&str; 9] = [
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "application/javascript",
    "application/sql",
    "application/x-sh",
];
/// The media types of texts by the end of their name, where nobody declares one.
const TEXTS_BY_EXTENSION: [(&str, &str); 9] = [
    ("md", "text/markdown"),
    ("markdown", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
];

/// Why bytes are no attachment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaTypeError {
    /// No model API takes it.
    #[error(
        "the media type {0} is not supported: send PNG, JPEG, GIF or WebP images, PDF, Word, Excel or PowerPoint \
             documents, or text"
    )]
    Unsupported(String),
    /// The bytes are something else than their sender says.
    #[error("it is declared as {declared}, and its bytes are {actual}")]
    Mismatch {
        /// What the sender says.
        declared: String,
        /// What the bytes are.
        actual: String,
    },
}

enum Sniffed {
    /// Known by its first bytes.
    Known(&'static str),
    Text,
    Other(&'static str),
}

/// The media type of an attachment.
pub fn media_type(bytes: &[u8], declared: Option<&str>, name: &str) -> Result<String, MediaTypeError> {
    let declared = declared.map(normalized).filter(|declared| says_something(declared));
    let mismatch = |declared: String, actual: &str| {
        Err(MediaTypeError::Mismatch {
            declared,
            actual: actual.to_owned(),
        })
    };
    match (sniff(bytes), declared) {
        (Sniffed::Known(actual), None) => Ok(actual.to_owned()),
        (Sniffed::Known(actual), Some(declared)) if declared == actual => Ok(declared),
        (Sniffed::Known(actual), Some(declared)) => mismatch(declared, actual),
        (Sniffed::Text, None) => Ok(text_by_name(name).to_owned()),
        (Sniffed::Text, Some(declared)) if is_text(&declared) => Ok(declared),
        (Sniffed::Text, Some(declared)) if IMAGES.contains(&&*declared) || DOCUMENTS.contains(&&*declared) => {
            mismatch(declared, "text")
        }
        (Sniffed::Other(actual), Some(declared)) if is_supported(&declared) => mismatch(declared, actual),
        (Sniffed::Text | Sniffed::Other(_), Some(declared)) => Err(MediaTypeError::Unsupported(declared)),
        (Sniffed::Other(actual), None) => Err(MediaTypeError::Unsupported(actual.to_owned())),
    }
}

/// Whether it is text, which a model can be told as it is.
pub fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/") || TEXT_APPLICATIONS.contains(&media_type)
}

fn is_supported(media_type: &str) -> bool {
    IMAGES.contains(&media_type) || DOCUMENTS.contains(&media_type) || is_text(media_type)
}

fn sniff(bytes: &[u8]) -> Sniffed {
    let known = infer::get(bytes).map(|kind| kind.mime_type());
    match known {
        Some(known) if IMAGES.contains(&known) || DOCUMENTS.contains(&known) => Sniffed::Known(known),
        // Before other signatures: a text may begin with the letters of one.
        _ if std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0')) => Sniffed::Text,
        known => Sniffed::Other(known.unwrap_or("application/octet-stream")),
    }
}

/// A media type without its parameters, in lower case, under its registered name.
pub fn normalized(declared: &str) -> String {
    let essence = declared
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if essence == "image/jpg" {
        return "image/jpeg".to_owned();
    }
    essence
}

fn says_something(media_type: &str) -> bool {
    !matches!(media_type, "" | "application/octet-stream" | "binary/octet-stream")
}

fn text_by_name(name: &str) -> &'static str {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    let known = TEXTS_BY_EXTENSION
        .iter()
        .find(|(of, _)| extension.as_deref() == Some(*of));
    known.map_or("text/plain", |(_, media_type)| *media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    fn of(bytes: &[u8], declared: &str, name: &str) -> Result<String, String> {
        media_type(bytes, Some(declared), name).map_err(|error| error.to_string())
    }

    #[test]
    fn the_bytes_decide_and_a_declaration_must_agree() {
        assert_eq!(of(PNG, "", ""), Ok("image/png".to_owned()));
        assert_eq!(of(PNG, "image/PNG; q=1", ""), Ok("image/png".to_owned()));
        assert_eq!(of(PNG, "application/octet-stream", ""), Ok("image/png".to_owned()));
        assert_eq!(of(b"\xff\xd8\xff\xe0", "image/jpg", ""), Ok("image/jpeg".to_owned()));
        assert_eq!(
            of(b"%PDF-1.7\n", "application/pdf", ""),
            Ok("application/pdf".to_owned())
        );
        assert_eq!(
            of(PNG, "image/jpeg", ""),
            Err("it is declared as image/jpeg, and its bytes are image/png".to_owned())
        );
        assert_eq!(
            of(b"not a picture", "image/png", ""),
            Err("it is declared as image/png, and its bytes are text".to_owned())
        );
    }

    #[test]
    fn a_text_is_what_its_sender_or_its_name_says() {
        assert_eq!(of(b"a,b\n1,2\n", "", "table.CSV"), Ok("text/csv".to_owned()));
        assert_eq!(of(b"BMW is no bitmap", "", "cars"), Ok("text/plain".to_owned()));
        assert_eq!(of(b"print(1)", "text/x-python", "a.py"), Ok("text/x-python".to_owned()));
        assert_eq!(of(b"{}", "application/json", ""), Ok("application/json".to_owned()));
    }

    #[test]
    fn what_no_model_takes_is_refused() {
        for (bytes, declared) in [
            (&b"PK\x03\x04\0\0\0\xff"[..], ""),
            (b"\x7fELF\x02\x01\x01\0\xff", ""),
            (b"\0\x01\x02\xff", ""),
            (b"ID3\x03\0\xff", "audio/mpeg"),
            (b"<svg xmlns=''/>", "image/svg+xml"),
        ] {
            let refused = of(bytes, declared, "").unwrap_err();
            assert!(refused.contains("is not supported"), "{refused}");
        }
    }
}

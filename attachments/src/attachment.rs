//! A reference to an image or a file, as history and the log hold it. Names on the wire do not change.

use serde::{Deserialize, Serialize};

/// An image or a file of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// How a model gets it.
    pub kind: Kind,
    /// Its file name; empty where the sender gave none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its media type; empty where nobody has seen the bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// How closely the model looks at an image, where the sender said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// Where its bytes are.
    pub source: Source,
}

/// How a model gets an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// As an image.
    Image,
    /// As a file.
    File,
}

/// How closely a model looks at an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// A few tokens.
    Low,
    /// Every part of it.
    High,
    /// In its own size.
    Original,
    /// As the model likes.
    Auto,
}

/// Where the bytes of an attachment are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// In the store.
    Stored {
        /// The SHA-256 of the bytes, in hexadecimal digits.
        sha256: String,
        /// How many bytes it has.
        size_bytes: u64,
        /// The name of the object below the URL of the store.
        location: String,
    },
    /// At a URL that the sender gave. It is passed to the model as it is; nobody else reads it.
    Url(String),
}

impl Kind {
    /// The word for people.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::File => "file",
        }
    }
}

impl Detail {
    /// Its name in OpenAI's APIs; `None` for an unknown one.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "low" => Some(Self::Low),
            "high" => Some(Self::High),
            "original" => Some(Self::Original),
            "auto" => Some(Self::Auto),
            _ => None,
        }
    }

    /// Its name in OpenAI's APIs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
            Self::Original => "original",
            Self::Auto => "auto",
        }
    }
}

impl Attachment {
    /// The size of what is stored.
    pub fn stored_bytes(&self) -> usize {
        match &self.source {
            Source::Stored { size_bytes, .. } => usize::try_from(*size_bytes).unwrap_or(usize::MAX),
            Source::Url(_) => 0,
        }
    }

    /// What people and models call it.
    pub fn label(&self) -> String {
        let what = if self.name.is_empty() {
            match &self.source {
                // The path of a URL says enough; its query may hold a signature.
                Source::Url(url) => url.split(['?', '#']).next().unwrap_or_default(),
                Source::Stored { .. } => &self.media_type,
            }
        } else {
            &self.name
        };
        format!("{} {what}", self.kind.noun()).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_names_on_the_wire_are_these() {
        let stored = Attachment {
            kind: Kind::Image,
            name: "tea.png".to_owned(),
            media_type: "image/png".to_owned(),
            detail: Some(Detail::Low),
            source: Source::Stored {
                sha256: "ab".to_owned(),
                size_bytes: 7,
                location: "i/n/t/ab".to_owned(),
            },
        };
        let json = json!({
            "kind": "image", "name": "tea.png", "media_type": "image/png", "detail": "low",
            "source": {"stored": {"sha256": "ab", "size_bytes": 7, "location": "i/n/t/ab"}},
        });
        assert_eq!(serde_json::to_value(&stored).unwrap(), json);
        assert_eq!(serde_json::from_value::<Attachment>(json).unwrap(), stored);
        let url: Attachment =
            serde_json::from_value(json!({"kind": "file", "source": {"url": "https://a.test/b.pdf?sig=1"}})).unwrap();
        assert_eq!(url.label(), "file https://a.test/b.pdf");
        assert_eq!(stored.label(), "image tea.png");
    }
}

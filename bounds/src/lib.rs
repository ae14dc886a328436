//! What may reach a parser. Text and JSON from outside are checked here for size,
//! nesting and constructs before a library reads them: several libraries take time,
//! memory or stack that grows without a limit for input of a few hundred bytes.
//!
//! The functions that take a parser call it only with what is within the bounds.
//! Pure; this crate contains no parser of CEL, templates or JSON Schema itself.

#![warn(missing_docs)]

pub mod cel;
pub mod json;
pub mod json_schema;
pub mod template;

/// Why a text or a schema of a user must not reach its parser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// Too many bytes.
    #[error("it is {bytes} bytes long; the limit is {limit} bytes")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest that is allowed.
        limit: usize,
    },
    /// Too many levels of nesting.
    #[error("{what} are nested deeper than {limit} levels")]
    TooDeep {
        /// What is nested.
        what: &'static str,
        /// The deepest that is allowed.
        limit: usize,
    },
    /// Too many of something.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
    },
    /// A construct that costs too much, or that means nothing here.
    #[error("{construct} is not allowed; {instead}")]
    NotAllowed {
        /// The construct.
        construct: String,
        /// What to write instead.
        instead: &'static str,
    },
    /// The text ends within something, or has a character that belongs to nothing.
    #[error("{0}")]
    Malformed(String),
}

impl OutOfBounds {
    pub(crate) fn not_allowed(construct: impl Into<String>, instead: &'static str) -> Self {
        Self::NotAllowed {
            construct: construct.into(),
            instead,
        }
    }
}

//! The address of an MCP server.

use reqwest::header::HeaderMap;
use url::Url;

use crate::egress::{redaction::Redactor, request_target::host};

/// URL and headers of a server, with expanded credentials. Has no `Debug`: both may hold secrets.
pub(super) struct ServerAddress {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Host and port, which messages may show.
    pub(super) host: String,
    /// Removes the agent's credentials from what the server sends.
    pub(super) redactor: Redactor,
}

impl ServerAddress {
    pub(super) fn new(url: Url, headers: HeaderMap, redactor: Redactor) -> Self {
        Self {
            host: host(&url),
            url,
            headers,
            redactor,
        }
    }
}

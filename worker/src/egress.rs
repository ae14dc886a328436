//! What leaves the worker for addresses that a revision names: which credentials
//! may go there, how arguments and `${env.NAME}` get into URLs, headers and
//! bodies, and what is removed from what comes back. Which addresses may be named
//! is decided in `steadfast-egress`. Makes no request of its own.

mod charset;
mod text_header;
mod url_text;

pub(crate) mod body_decoder;
pub(crate) mod connection_fault;
pub(crate) mod content_coding;
pub(crate) mod credentials;
pub(crate) mod http_client;
pub(crate) mod pieces;
pub(crate) mod redaction;
pub(crate) mod request_target;
pub(crate) mod response_body;
pub(crate) mod text_body;

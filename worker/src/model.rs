//! The model client: builds the request, streams the response, classifies failures.

mod body;
pub(crate) mod client;
pub(crate) mod concurrency_limit;
mod conversation;
pub(crate) mod failures;
mod http_service;
pub(crate) mod instructions;
pub(crate) mod interpreter;
mod message_tracker;
mod providers;
pub(crate) mod request;
mod request_body;
pub(crate) mod response;
pub(crate) mod stream;
#[cfg(test)]
mod test_support;

pub(crate) use client::ModelClient;
pub(crate) use interpreter::Interpreter;
pub(crate) use request::build_request;
pub(crate) use request_body::RequestContext;
pub(crate) use response::{CallIdentity, ModelResponse};

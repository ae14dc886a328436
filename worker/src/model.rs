//! The model client: builds the request, streams the response, classifies failures.

pub(crate) mod attachments;
mod authorization;
mod body;
pub(crate) mod client;
pub(crate) mod concurrency_limit;
pub(crate) mod conversation;
mod dialect;
pub(crate) mod failures;
mod http_service;
pub(crate) mod instructions;
pub(crate) mod interpreter;
mod learned;
pub(crate) mod learning;
mod lessons;
mod message_tracker;
pub(crate) mod origin;
mod progress;
mod providers;
mod request;
mod request_body;
pub(crate) mod response;
pub(crate) mod stream;
#[cfg(test)]
mod test_support;

pub(crate) use client::ModelClient;
pub(crate) use interpreter::Interpreter;
pub(crate) use request_body::RequestContext;
pub(crate) use response::{CallIdentity, ModelResponse};

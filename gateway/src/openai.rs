//! OpenAI's APIs: ids, what clients send, and what the events of a turn become. Pure.

pub(crate) mod chat;
mod errors;
pub(crate) mod ids;
pub(crate) mod input;
pub(crate) mod items;
pub(crate) mod responses;
pub(crate) mod session;
pub(crate) mod side_request;
pub(crate) mod transcript;
pub(crate) mod without_counterpart;

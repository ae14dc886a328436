//! The model APIs that the worker speaks.

pub(crate) mod chat;
pub(crate) mod responses;

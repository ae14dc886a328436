//! Metrics and spans of what the worker does.

pub(crate) mod metrics;
pub(crate) mod spans;

//! Guardrails that the worker evaluates itself.

pub(crate) mod cel;

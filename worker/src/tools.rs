//! The tools of an agent: the functions that the model is offered, and the
//! clients for the tools that this worker calls itself.

pub(crate) mod fenced_answer;
pub(crate) mod functions;
pub(crate) mod http;
pub(crate) mod mcp;
pub(crate) mod steps;
pub(crate) mod validation;
pub(crate) mod webhook;

//! The Responses API.

mod interpreter;
mod request;

pub(crate) use interpreter::ResponsesInterpreter;
pub(crate) use request::build_request;

//! The Chat Completions API, for providers without a Responses API. The
//! transcript stays in the items of the Responses API on our side.

mod interpreter;
mod members;
mod messages;
mod parts;
mod request;

pub(crate) use interpreter::ChatInterpreter;
pub(crate) use request::build_request;

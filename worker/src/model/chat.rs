//! Chat Completions, for the providers that have no Responses API. The
//! transcript stays in the items of the Responses API on our side.

mod interpret;
mod request;

pub use interpret::ChatInterpreter;
pub(super) use request::build_request;

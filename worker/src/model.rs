//! The model client: builds the request, streams the answer, judges failures.

mod board;
pub mod chat;
mod conversation;
pub mod error;
pub mod interpret;
pub mod request;
pub mod responses;
pub mod transport;

pub use error::ModelError;
pub use interpret::{Answer, Interpreter, Place};
pub use request::{RequestContext, build_request};
pub use transport::ModelClient;

//! The model client: builds the request, streams the answer, judges failures.

pub mod error;
pub mod interpret;
pub mod request;
pub mod transport;

pub use error::ModelError;
pub use interpret::{Answer, Interpreter, StreamEvent};
pub use transport::ModelClient;

//! Opens a connection to Temporal. Contains the generated gRPC clients of all
//! services of Temporal, and nothing else, because they take long to compile.
//!
//! `Connection::connect` is an async fn. The compiler generates the code of its
//! future, with about 220 gRPC methods, in every crate that awaits the future
//! directly. [`connect`] returns a boxed future, so the code is generated here,
//! once. A change of any other crate of the workspace does not repeat it.

#![warn(missing_docs)]

use futures::future::{BoxFuture, FutureExt as _};
use temporalio_client::{Connection, ConnectionOptions, errors::ClientConnectError};

/// Connects once. Does not retry and has no time limit of its own.
#[inline(never)]
#[expect(clippy::disallowed_methods, reason = "the one place that generates this code")]
pub fn connect(options: ConnectionOptions) -> BoxFuture<'static, Result<Connection, ClientConnectError>> {
    Connection::connect(options).boxed()
}

//! The HTTP surfaces of Steadfast: Agentex's REST, JSON-RPC and streams, and approvals.
//! Authenticates and authorises, turns requests into signals, and the log into
//! messages and streams. Keeps nothing: any number of replicas may run.

use std::sync::Arc;

use axum::Router;

pub mod access;
pub mod approvals;
pub mod directory;
pub mod error;
pub mod gateway;
mod inbound;
mod routes;
pub mod task;
pub mod temporal;
pub mod transcript;
pub mod translation;
pub mod wire;

pub use gateway::Gateway;

/// All routes of a gateway.
pub fn app(gateway: Arc<Gateway>) -> Router {
    routes::router(gateway)
}

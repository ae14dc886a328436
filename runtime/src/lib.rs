//! What every Steadfast program needs before it does its own work: logging,
//! the TLS provider, stopping on a signal, and the admin server with probes
//! and metrics. Knows nothing of agents, Kubernetes, Temporal or Redis, and
//! reads no environment variable: a program's `args.rs` does, and passes values in.

pub mod admin;
pub mod crypto;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;

pub use admin::AdminServer;
pub use prometheus;
pub use readiness::{Readiness, ReadinessGauge};
pub use telemetry::LogFormat;

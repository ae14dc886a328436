//! What every Steadfast program needs before it does its own work: logging, the
//! export of spans, the TLS provider, stopping on a signal, and the admin server
//! with probes and metrics, and threads for work that blocks. Knows nothing of agents, Kubernetes, Temporal or
//! Redis, and reads no environment variable but the standard `OTEL_*` ones: a
//! program's `args.rs` does, and passes values in.

pub mod admin;
pub mod blocking;
pub mod crypto;
pub mod error_chain;
pub mod liveness;
pub mod memory_limit;
pub mod outbound;
pub mod pem;
pub mod readiness;
pub mod shutdown;
pub mod span_export;
pub mod telemetry;
pub mod trace_context;

pub use admin::AdminServer;
pub use blocking::{BlockingError, BlockingWork};
pub use error_chain::ErrorChain;
pub use liveness::{Heartbeat, Liveness};
pub use memory_limit::memory_limit;
pub use opentelemetry;
pub use opentelemetry_sdk;
pub use prometheus;
pub use readiness::{Readiness, ReadinessGauge};
pub use telemetry::LogFormat;

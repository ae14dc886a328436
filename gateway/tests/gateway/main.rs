//! The gateway over its routes: without any service, and with a real Temporal and a real
//! Redis. The test acts as the worker: it appends a worker's events to the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod a2a;
mod abuse;
mod access;
mod access_matrix;
mod access_streams;
mod agentex;
mod approvals;
mod bad_input;
mod codec;
mod fake_api_server;
mod metrics;
mod observability;
mod openai;
mod rates;
mod reused_name;
mod sad_paths;
mod server;
mod streams;
mod support;
mod tasks;
mod viewers;

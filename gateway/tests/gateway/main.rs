//! The gateway over its routes: first without anything behind it, then with a
//! real Temporal and a real Redis. The worker is played by the test: it appends
//! to the log what a worker would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod approvals;
mod bad_input;
mod streams;
mod support;
mod tasks;

//! The operator against a real API server and controller manager: what heals
//! by itself, what never restarts, and what is written when nothing changes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests"
)]

mod harness;

mod admission;
mod healing;
mod leading;
mod ownership;
mod revisions;
mod rollout;

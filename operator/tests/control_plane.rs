//! The operator against a real API server and controller manager: what heals
//! by itself, what never restarts, and what is written when nothing changes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests"
)]

#[path = "control_plane/harness.rs"]
mod harness;

#[path = "control_plane/admission.rs"]
mod admission;
#[path = "control_plane/healing.rs"]
mod healing;
#[path = "control_plane/leading.rs"]
mod leading;
#[path = "control_plane/ownership.rs"]
mod ownership;
#[path = "control_plane/revisions.rs"]
mod revisions;
#[path = "control_plane/rollout.rs"]
mod rollout;

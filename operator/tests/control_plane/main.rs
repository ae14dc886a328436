//! The operator with a real API server and controller manager: repair of errors,
//! rollouts, ownership, revisions, what GitOps tools see, and no writes at rest.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests"
)]

mod harness;

mod admission;
mod deletion;
mod edits;
mod gitops;
mod grants;
mod healing;
mod leading;
mod lint;
mod moves;
mod offers;
mod ownership;
mod pools;
mod revisions;
mod rollout;
mod scaling;
mod scene;
mod temporal;
mod versions;

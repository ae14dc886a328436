//! Scenarios that hold wherever Steadfast runs, and the two backends on which the
//! suites run them: a stack of processes, and a Kubernetes cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test code: a failed assertion is a panic"
)]

pub mod backend;
pub mod browser;
pub mod chart;
pub mod history;
pub mod link;
pub mod pages;
pub mod scenario;
pub mod scripts;
pub mod snapshot;

//! Steadfast end to end without Kubernetes: gateway and workers as processes on
//! a real Temporal and a real Redis, with a scripted model.
//!
//! Tests share one stack, each with an agent and workers of its own; what takes
//! a shared service down has a stack to itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod agents;
mod approvals;
mod bad_input;
mod carry_over;
mod chat_completions;
mod cli;
mod collector;
mod conversation;
mod gateway_loss;
mod guardrails;
mod hand_over;
mod history;
mod hooks;
mod hosted;
mod ledger;
mod limits;
mod mcp;
mod metrics;
mod model_faults;
mod people;
mod redis_loss;
mod shared;
mod steps;
mod stopping;
mod tools;
mod tracing;
mod visibility;
mod worker_loss;

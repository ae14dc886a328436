//! The log against a real Redis that is shared by many writers, flushed, killed
//! and frozen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod append;
mod reader;
mod security;
mod support;

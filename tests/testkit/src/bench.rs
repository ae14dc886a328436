//! Measurements: each drives the real system and gives a report that is printed
//! as JSON. Never part of a test run; a test may run one small.

pub mod history;
pub mod interrupt;
mod prose;

pub use prose::{Prose, compression_ratio};

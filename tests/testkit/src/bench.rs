//! Benchmarks: each drives the real system and returns a report that is printed as
//! JSON. No test run contains them; a test may run a small one.

pub mod dev_memory;
pub mod history_growth;
pub mod interrupt_latency;
pub mod turn;

mod statistics;
mod text_generator;

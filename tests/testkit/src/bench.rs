//! Benchmarks: each drives the real system and returns a report that is printed as
//! JSON. No test run contains them; a test may run a small one.

pub mod chaos;
pub mod console;
pub mod dev_memory;
pub mod history_growth;
pub mod interrupt_latency;
pub mod peer;
pub mod polls;
pub mod resume;
pub mod soak;
pub mod turn;
pub mod viewers;

mod local_server;
mod log_reader;
mod paced_model;
mod process_usage;
mod random;
mod stamps;
mod statistics;
mod temporal_api;
mod text_generator;

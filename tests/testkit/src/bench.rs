//! Benchmarks: each drives the real system and returns a report that is printed as
//! JSON. No test run contains them; a test may run a small one.

pub mod chaos;
pub mod console;
pub mod density;
pub mod dev_memory;
pub mod fleet;
pub mod history_growth;
pub mod interrupt_latency;
pub mod peer;
pub mod polls;
pub mod resume;
pub mod rotation;
pub mod soak;
pub mod storms;
pub mod turn;
pub mod viewers;
pub mod wake;

mod arrivals;
mod build;
mod first_token;
mod goal;
mod local_cluster;
mod local_server;
mod log_reader;
mod paced_model;
mod process_usage;
mod random;
mod stamps;
mod statistics;
mod temporal_api;
mod text_generator;

pub use build::Build;
pub use goal::Goal;

//! The lifetime of a service.

use std::path::PathBuf;

/// When a service ends.
#[derive(Clone, Debug)]
pub enum Lifetime {
    /// When its value is dropped, and at the latest with this process.
    OfThisProcess,
    /// When any process kills it. The directory holds one file per service with
    /// its process id.
    UntilKilled { records: PathBuf },
}

//! The server that speaks the protocol of Redis.

use std::path::PathBuf;

use crate::debian;
use crate::versions::Versions;
use crate::wheel::{WheelProgram, wheel_program};

/// Valkey, or Debian's Redis among the oldest versions.
pub fn redis_server() -> anyhow::Result<PathBuf> {
    match Versions::chosen()? {
        Versions::Current => wheel_program(WheelProgram::Valkey),
        Versions::Oldest => debian::redis_server(),
    }
}

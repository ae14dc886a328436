//! The server that speaks the protocol of Redis.

use std::path::PathBuf;

use crate::args::Environment;
use crate::debian;
use crate::versions::Versions;
use crate::wheel::{WheelProgram, wheel_program};

const DEBIAN: &str = "redis-server";

/// Valkey, or Debian's Redis among the oldest versions.
pub fn redis_server() -> anyhow::Result<PathBuf> {
    match Environment::read()?.versions() {
        Versions::Current => wheel_program(WheelProgram::Valkey),
        Versions::Oldest => debian::installed(DEBIAN),
    }
}

/// One that can listen with TLS: Debian's Redis, as the wheel of Valkey is built without TLS.
pub fn redis_server_with_tls() -> anyhow::Result<PathBuf> {
    debian::installed(DEBIAN)
}

//! Ports of services, leased in the cache directory.

pub(crate) use steadfast_ports::Port;

use crate::cache::Cache;

/// Leases a port on which nothing listens.
pub(crate) fn lease() -> anyhow::Result<Port> {
    Port::lease(&Cache::open()?.ports())
}

/// The given port, or a leased one.
pub(crate) fn given_or_leased(given: Option<u16>) -> anyhow::Result<Port> {
    given.map(Port::fixed).map_or_else(lease, Ok)
}

//! Port leases: a leased port stays reserved while nothing listens on it.
//!
//! Leased ports lie below the range that the kernel gives to outgoing
//! connections: a client that keeps dialling a killed service can then neither
//! take its port nor connect to itself. A lock file per port keeps other
//! processes off.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::bail;

use crate::{cache::Cache, lock::FileLock};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port number. A leased one is reserved while the value lives.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lease: Option<FileLock>,
}

impl Port {
    /// Leases a port on which nothing listens.
    pub(crate) fn lease() -> anyhow::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let dir = Cache::open()?.ports();
        // Each process starts at another number.
        let own_start = u16::try_from(std::process::id() * 37 % u32::from(COUNT)).unwrap_or(0);
        for _ in 0..COUNT {
            let offset = own_start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let number = FIRST + offset;
            let Some(lease) = FileLock::try_acquire(&dir.join(number.to_string()))? else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self {
                    number,
                    _lease: Some(lease),
                });
            }
        }
        bail!("no free port between {FIRST} and {}", FIRST + COUNT)
    }

    /// A port without a lease: the caller knows that it is free, for instance
    /// because its network namespace is.
    pub(crate) fn fixed(number: u16) -> Self {
        Self { number, _lease: None }
    }

    /// The given port, or a leased one.
    pub(crate) fn given_or_leased(given: Option<u16>) -> anyhow::Result<Self> {
        given.map_or_else(Self::lease, |number| Ok(Self::fixed(number)))
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

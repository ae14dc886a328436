//! Ports that stay one's own, also while nothing listens on them.
//!
//! Leased ports lie below the range the kernel hands to outgoing connections:
//! a client that keeps dialling a killed service can then neither take its port
//! nor connect to itself. A lock file per port keeps other processes off.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::bail;

use crate::cache::Cache;
use crate::lock::FileLock;

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port number, kept from others while the value lives if it was leased.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lease: Option<FileLock>,
}

impl Port {
    /// Leases a port that nobody listens on.
    pub fn lease() -> anyhow::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let folder = Cache::open()?.ports();
        // Start where other processes most likely do not.
        let own_start = u16::try_from(std::process::id() * 37 % u32::from(COUNT)).unwrap_or(0);
        for _ in 0..COUNT {
            let offset = own_start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let number = FIRST + offset;
            let Some(lease) = FileLock::try_acquire(&folder.join(number.to_string()))? else {
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

    /// A port somebody else answers for: given by a caller, or alone in its
    /// network namespace.
    pub fn fixed(number: u16) -> Self {
        Self { number, _lease: None }
    }

    /// The given port, else a leased one.
    pub fn given_or_leased(given: Option<u16>) -> anyhow::Result<Self> {
        given.map_or_else(Self::lease, |number| Ok(Self::fixed(number)))
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}

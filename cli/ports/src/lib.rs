//! Port leases: a leased port stays reserved while nothing listens on it.
//!
//! A port that was found free by listening on port 0 is free for a moment only: the
//! kernel gives it to the next process that asks, or to an outgoing connection.
//! Leased ports lie below the range from which kernels choose (Linux: 32768 and up by
//! default, `net.ipv4.ip_local_port_range`; macOS: 49152 and up). So a client that
//! keeps dialling a killed service can neither take its port nor connect to itself.
//! A lock file per port keeps other lessees off.

use std::{
    fs::{self, File, TryLockError},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context as _, bail};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port number. A leased one is reserved while the value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lease: Option<File>,
}

impl Port {
    /// Leases a port of the loopback interface on which nothing listens. Lessees that name the same directory never get
    /// the same port.
    pub fn lease(directory: &Path) -> anyhow::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        fs::create_dir_all(directory).with_context(|| format!("create the directory {}", directory.display()))?;
        // Each process starts at another number.
        let own_start = u16::try_from(std::process::id() * 37 % u32::from(COUNT)).unwrap_or(0);
        for _ in 0..COUNT {
            let offset = own_start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            if let Some(port) = Self::try_lease(directory, FIRST + offset)? {
                return Ok(port);
            }
        }
        bail!("no free port between {FIRST} and {}", FIRST + COUNT - 1)
    }

    /// `None` when the port has a lessee, or a listener.
    fn try_lease(directory: &Path, number: u16) -> anyhow::Result<Option<Self>> {
        let Some(lease) = try_lock(&directory.join(number.to_string()))? else {
            return Ok(None);
        };
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        Ok(is_free.then_some(Self {
            number,
            _lease: Some(lease),
        }))
    }

    /// A port without a lease: the caller knows that it is free, for instance because its network namespace is.
    pub fn fixed(number: u16) -> Self {
        Self { number, _lease: None }
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// `None` when another value, of this process or of another, holds the lock. The kernel releases it when the process
/// ends.
fn try_lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("open the lock file {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source).with_context(|| format!("lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_one_lessee_at_a_time_and_lies_below_those_of_the_kernel() {
        let directory = tempfile::tempdir().unwrap();
        let leases: Vec<Port> = (0..20).map(|_| Port::lease(directory.path()).unwrap()).collect();
        let mut numbers: Vec<u16> = leases.iter().map(Port::number).collect();
        assert!(
            numbers.iter().all(|number| (20_000..32_000).contains(number)),
            "{numbers:?}"
        );
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), leases.len());
        let path = directory.path().join(numbers[0].to_string());
        assert!(try_lock(&path).unwrap().is_none());
        drop(leases);
        assert!(try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_port_on_which_somebody_listens_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert!(Port::try_lease(directory.path(), taken).unwrap().is_none());
        // A port that was refused has no lease.
        let path = directory.path().join(taken.to_string());
        assert!(try_lock(&path).unwrap().is_some());
    }
}

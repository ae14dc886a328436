//! What this process knows of MCP servers. The list of a server's tools is cached for a minute, or for as
//! long as the server says within bounds; a failure too, the longer the more often it happens, so that a broken
//! server costs little and removes only its own tools. Each server is asked once at a time, and nobody holds a
//! lock meanwhile.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use steadfast_process::BlockingWork;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    connection::{ProtocolMemory, late},
    error::unavailable,
    http::Wire,
    listing::{Listing, MAXIMUM_TTL, fetch},
};
use crate::failure::CallFailure;

/// Limit for listing the tools of a server, the connection included.
const LIST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a caller waits for a new list while there is an older one, or while the server fails.
const WAIT_BESIDE_OLDER: Duration = Duration::from_secs(2);
/// How long the first failure is cached; each further one twice as long. Short: a server that starts together with
/// its agents is there a moment later, and a turn without its tools is a wrong turn.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// How often the time of a failure doubles.
const MAXIMUM_DOUBLINGS: u32 = 8;
/// Limit for cached servers; those without a usable list are removed above it.
const MAXIMUM_SERVERS: usize = 256;

/// A server and its headers: with other credentials it may list other tools. Has no `Debug`: it holds secrets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CacheKey {
    server: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
}

/// What this process knows of the servers.
#[derive(Default)]
pub(super) struct Servers(Mutex<BTreeMap<CacheKey, Arc<Server>>>);

/// What this process knows of one server.
#[derive(Default)]
pub(super) struct Server {
    pub(super) protocol: ProtocolMemory,
    state: Mutex<ServerState>,
}

#[derive(Default)]
struct ServerState {
    listing: Option<CachedListing>,
    failure: Option<CachedFailure>,
    /// Becomes true when the request that runs has ended.
    running: Option<watch::Receiver<bool>>,
}

struct CachedListing {
    listing: Arc<Listing>,
    expires_at: Instant,
    /// Until then it is used while the server does not answer.
    usable_until: Instant,
}

struct CachedFailure {
    failure: CallFailure,
    retry_at: Instant,
    times: u32,
}

impl Servers {
    pub(super) fn get(&self, name: &str, wire: &Wire) -> Arc<Server> {
        let headers = wire.address.headers.iter();
        let key = CacheKey {
            server: name.to_owned(),
            url: wire.address.url.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
        };
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= MAXIMUM_SERVERS && !servers.contains_key(&key) {
            let now = Instant::now();
            // A server with another owner is in use.
            servers.retain(|_, server| Arc::strong_count(server) > 1 || server.state().is_of_use(now));
        }
        servers.entry(key).or_default().clone()
    }
}

impl ServerState {
    fn is_of_use(&self, now: Instant) -> bool {
        self.listing.as_ref().is_some_and(|cached| cached.usable_until > now)
    }

    /// The answer that needs no request.
    fn fresh(&self, now: Instant) -> Option<Result<Arc<Listing>, CallFailure>> {
        let fresh = self.listing.as_ref().filter(|cached| cached.expires_at > now);
        if let Some(cached) = fresh {
            return Some(Ok(cached.listing.clone()));
        }
        let failure = self.failure.as_ref().filter(|cached| cached.retry_at > now)?;
        Some(self.usable(now).ok_or_else(|| failure.failure.clone()))
    }

    /// The newest list, however old it may be.
    fn usable(&self, now: Instant) -> Option<Arc<Listing>> {
        let usable = self.listing.as_ref().filter(|cached| cached.usable_until > now);
        usable.map(|cached| cached.listing.clone())
    }

    fn succeeded(&mut self, now: Instant, ttl: Duration, listing: Listing) {
        self.listing = Some(CachedListing {
            listing: Arc::new(listing),
            expires_at: now + ttl,
            usable_until: now + MAXIMUM_TTL,
        });
        self.failure = None;
    }

    fn failed(&mut self, now: Instant, failure: CallFailure) {
        let times = self.failure.as_ref().map_or(0, |failure| failure.times + 1);
        self.failure = Some(CachedFailure {
            failure,
            retry_at: now + FAILURE_TTL * 2_u32.pow(times.min(MAXIMUM_DOUBLINGS)),
            times,
        });
    }
}

impl Server {
    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list of the server, from the cache or from the server.
    pub(super) async fn listing(
        self: &Arc<Self>,
        wire: &Wire,
        blocking: &BlockingWork,
    ) -> Result<Arc<Listing>, CallFailure> {
        let (mut ended, longest_wait) = {
            let mut state = self.state();
            let now = Instant::now();
            if let Some(answer) = state.fresh(now) {
                return answer;
            }
            let is_waited_for = state.usable(now).is_none() && state.failure.is_none();
            let longest_wait = if is_waited_for { LIST_TIMEOUT } else { WAIT_BESIDE_OLDER };
            let running = state.running.as_ref().filter(|running| running.has_changed().is_ok());
            let ended = running.cloned().unwrap_or_else(|| {
                let ended = self.ask(wire, blocking);
                state.running = Some(ended.clone());
                ended
            });
            (ended, longest_wait)
        };
        // The time is over, or the request has ended; both are seen in the state.
        let _ = timeout(longest_wait, ended.wait_for(|ended| *ended)).await;
        let state = self.state();
        if let Some(listing) = state.usable(Instant::now()) {
            return Ok(listing);
        }
        Err(state.failure.as_ref().map_or_else(
            || {
                unavailable(format!(
                    "{} did not list its tools: {}",
                    wire.address.host,
                    late(longest_wait)
                ))
            },
            |cached| cached.failure.clone(),
        ))
    }

    /// The list as it was last seen, without asking.
    pub(super) fn last_listing(&self) -> Option<Arc<Listing>> {
        self.state().usable(Instant::now())
    }

    /// Lets the next caller ask the server.
    pub(super) fn expire_listing(&self) {
        if let Some(cached) = &mut self.state().listing {
            cached.expires_at = Instant::now();
        }
    }

    /// Asks the server, for all who wait.
    fn ask(self: &Arc<Self>, wire: &Wire, blocking: &BlockingWork) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(false);
        let (server, wire, blocking) = (self.clone(), wire.clone(), blocking.clone());
        tokio::spawn(async move {
            let fetched = timeout(LIST_TIMEOUT, fetch(&server.protocol, &wire, &blocking)).await;
            let fetched = fetched.unwrap_or_else(|_| {
                let host = &wire.address.host;
                Err(unavailable(format!(
                    "{host} did not list its tools: {}",
                    late(LIST_TIMEOUT)
                )))
            });
            {
                let mut state = server.state();
                match fetched {
                    Ok((ttl, listing)) => state.succeeded(Instant::now(), ttl, listing),
                    Err(failure) => {
                        tracing::warn!(host = wire.address.host, error = %failure, "tools of an MCP server not listed");
                        state.failed(Instant::now(), failure);
                    }
                }
                state.running = None;
            }
            let _ = sender.send(true);
        });
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::mcp::listing::MINIMUM_TTL;

    #[test]
    fn a_failure_is_remembered_longer_each_time_and_the_last_list_is_used_meanwhile() {
        let mut state = ServerState::default();
        let mut now = Instant::now();
        let failure = || unavailable("away");
        state.failed(now, failure());
        assert!(matches!(state.fresh(now), Some(Err(_))));
        now += FAILURE_TTL;
        assert!(state.fresh(now).is_none());
        state.failed(now, failure());
        now += FAILURE_TTL;
        assert!(state.fresh(now).is_some(), "twice as long");

        state.succeeded(now, MINIMUM_TTL, Listing::default());
        now += MINIMUM_TTL;
        assert!(state.fresh(now).is_none());
        state.failed(now, failure());
        assert!(matches!(state.fresh(now), Some(Ok(_))), "the last list");
        now += MAXIMUM_TTL;
        state.failed(now, failure());
        assert!(matches!(state.fresh(now), Some(Err(_))), "it is too old");
    }
}

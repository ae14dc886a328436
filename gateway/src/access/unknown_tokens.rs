//! Limits how many wrong tokens of one address are shown to Kubernetes: whoever tries out tokens
//! must not use up the API server. Tokens that were valid lately always pass.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use moka::future::Cache;

use crate::error::ApiError;

/// Wrong tokens of an address that are shown to Kubernetes in one [`PERIOD`]. Behind a proxy all
/// clients have one address.
const WRONG_TOKENS: u32 = 100;
const PERIOD: Duration = Duration::from_secs(10);
/// For how long a token that was valid is shown to Kubernetes without a limit.
const TRUST: Duration = Duration::from_hours(1);
const ADDRESSES: u64 = 10_000;
const TOKENS: u64 = 10_000;

#[derive(Clone, Debug)]
pub(super) struct UnknownTokens {
    wrong: Cache<IpAddr, Arc<AtomicU32>>,
    valid_lately: Cache<[u8; 32], ()>,
}

impl Default for UnknownTokens {
    fn default() -> Self {
        Self {
            wrong: Cache::builder().max_capacity(ADDRESSES).time_to_live(PERIOD).build(),
            valid_lately: Cache::builder().max_capacity(TOKENS).time_to_live(TRUST).build(),
        }
    }
}

impl UnknownTokens {
    /// Whether a token, known by its hash, may be shown to Kubernetes now.
    pub(super) async fn admit(&self, token: &[u8; 32], peer: Option<IpAddr>) -> Result<(), ApiError> {
        let wrong = self.wrong_of(peer).await.load(Ordering::Relaxed);
        if wrong < WRONG_TOKENS || self.valid_lately.contains_key(token) {
            return Ok(());
        }
        let error = ApiError::too_many_requests("too many tokens from this address were not valid");
        Err(error.retry_after(PERIOD))
    }

    /// Takes in what Kubernetes said.
    pub(super) async fn reviewed(&self, token: [u8; 32], is_valid: bool, peer: Option<IpAddr>) {
        if is_valid {
            self.valid_lately.insert(token, ()).await;
        } else {
            self.valid_lately.invalidate(&token).await;
            self.wrong_of(peer).await.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn wrong_of(&self, peer: Option<IpAddr>) -> Arc<AtomicU32> {
        // Without an address, all callers count as one.
        let address = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.wrong.get_with(address, async { Arc::default() }).await
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    const ATTACKER: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    const OTHER: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));

    #[tokio::test]
    async fn after_many_wrong_tokens_an_address_waits_and_others_do_not() {
        let tokens = UnknownTokens::default();
        let (known, new) = ([1; 32], [2; 32]);
        tokens.reviewed(known, true, ATTACKER).await;
        for _ in 0..WRONG_TOKENS {
            tokens.admit(&new, ATTACKER).await.unwrap();
            tokens.reviewed(new, false, ATTACKER).await;
        }
        let refused = tokens.admit(&new, ATTACKER).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        tokens.admit(&new, OTHER).await.unwrap();
        tokens.admit(&known, ATTACKER).await.unwrap();
    }

    #[tokio::test]
    async fn a_token_that_was_revoked_counts_as_a_wrong_one() {
        let tokens = UnknownTokens::default();
        let revoked = [1; 32];
        tokens.reviewed(revoked, true, ATTACKER).await;
        tokens.reviewed(revoked, false, ATTACKER).await;
        for _ in 1..WRONG_TOKENS {
            tokens.reviewed([2; 32], false, ATTACKER).await;
        }
        assert!(tokens.admit(&revoked, ATTACKER).await.is_err());
    }
}

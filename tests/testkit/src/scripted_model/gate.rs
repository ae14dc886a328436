//! A gate: a point in a response at which it waits until the test opens the gate.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::sync::watch;

/// A gate is closed at first. Once open, it stays open. Clones share one state.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: watch::Sender<bool>,
    /// The number of responses that have reached the gate, waiting or not.
    arrived: watch::Sender<usize>,
}

impl Gate {
    pub fn closed() -> Self {
        Self(Arc::new(Inner {
            open: watch::Sender::new(false),
            arrived: watch::Sender::new(0),
        }))
    }

    /// Opens the gate for all responses, now and later.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until `count` responses have reached the gate.
    pub async fn reached_by(&self, count: usize, timeout: Duration) -> anyhow::Result<()> {
        let mut arrived = self.0.arrived.subscribe();
        tokio::time::timeout(timeout, arrived.wait_for(|arrived| *arrived >= count))
            .await
            .with_context(|| format!("gave up after {timeout:?} waiting for {count} responses at a gate"))?
            .context("wait at a gate that was dropped")?;
        Ok(())
    }

    /// Waits until a response has reached the gate.
    pub async fn reached(&self, timeout: Duration) -> anyhow::Result<()> {
        self.reached_by(1, timeout).await
    }

    /// Reaches the gate and waits until it is open.
    pub async fn pass(&self) {
        self.0.arrived.send_modify(|arrived| *arrived += 1);
        // Cannot fail: `self` holds the sender.
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }
}

//! A point where an answer waits until the test lets it go on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;

/// Closed at first. Once open it stays open. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: watch::Sender<bool>,
    /// How many answers have come this far, whether they wait or went on.
    arrived: watch::Sender<usize>,
}

impl Gate {
    pub fn closed() -> Self {
        Self(Arc::new(Inner {
            open: watch::Sender::new(false),
            arrived: watch::Sender::new(0),
        }))
    }

    /// Lets everything through, now and later.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until `count` answers have come to the gate.
    pub async fn reached_by(&self, count: usize, timeout: Duration) -> anyhow::Result<()> {
        let mut arrived = self.0.arrived.subscribe();
        tokio::time::timeout(timeout, arrived.wait_for(|arrived| *arrived >= count))
            .await
            .with_context(|| format!("gave up after {timeout:?} waiting for {count} answers at a gate"))?
            .context("the gate is gone")?;
        Ok(())
    }

    /// Waits until an answer has come to the gate.
    pub async fn reached(&self, timeout: Duration) -> anyhow::Result<()> {
        self.reached_by(1, timeout).await
    }

    /// Waits here, as an answer does.
    pub async fn pass(&self) {
        self.0.arrived.send_modify(|arrived| *arrived += 1);
        // An error is impossible: we hold the sender.
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }
}

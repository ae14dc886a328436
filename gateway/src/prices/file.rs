//! The file with the prices, read again and again: a ConfigMap that is mounted changes in place. The last prices that
//! could be read hold while the file cannot be, and whoever sees them is told.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{MAX_FILE_BYTES, PriceList};

/// How often the file is read. Kubernetes takes up to a minute to bring a change to it.
const PERIOD: Duration = Duration::from_secs(5);

/// The prices as they are now; clones share them. There are none by default.
#[derive(Clone, Debug, Default)]
pub struct Prices(Arc<RwLock<Current>>);

/// The prices now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Current {
    pub(crate) prices: Option<Arc<PriceList>>,
    /// Why the file as it is now has none.
    pub(crate) problem: Option<String>,
}

impl Prices {
    /// The prices of a file, which is read now and again until `stop`.
    pub fn watch(path: PathBuf, stop: CancellationToken) -> Self {
        Self::watch_every(PERIOD, path, stop)
    }

    fn watch_every(period: Duration, path: PathBuf, stop: CancellationToken) -> Self {
        let prices = Self::default();
        let watched = prices.clone();
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            let mut before = None;
            loop {
                let content = read(&path).await.map_err(|error| error.to_string());
                if before.as_ref() != Some(&content) {
                    watched.take(&path, &content);
                    before = Some(content);
                }
                sleep(period).await;
            }
        }));
        prices
    }

    pub(crate) fn current(&self) -> Current {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, path: &Path, content: &Result<Vec<u8>, String>) {
        let read = match content {
            Ok(content) => PriceList::parse(content).map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(prices) => {
                tracing::info!(file = %path.display(), models = prices.models.len(), "the prices of models are read");
                *current = Current {
                    prices: Some(Arc::new(prices)),
                    problem: None,
                };
            }
            Err(problem) => {
                tracing::warn!(
                    file = %path.display(),
                    problem,
                    "the prices of models cannot be read; those that were read before hold"
                );
                current.problem = Some(problem);
            }
        }
    }
}

/// The beginning of the file: one byte more than it may have shows that it is too long.
async fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    let limit = u64::try_from(MAX_FILE_BYTES + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut content).await?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use steadfast_testkit::wait;

    use super::*;

    const GOOD: &str = "{currency: USD, models: [{model: a, input: 1, output: 2}]}";

    async fn until(prices: &Prices, holds: impl Fn(&Current) -> bool) -> Current {
        wait::until("the prices", Duration::from_secs(20), async || {
            let known = prices.current();
            anyhow::ensure!(holds(&known), "{known:?}");
            Ok(known)
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn a_change_is_picked_up_and_a_bad_one_leaves_the_prices_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("prices.yaml");
        let stop = CancellationToken::new();
        let prices = Prices::watch_every(Duration::from_millis(1), path.clone(), stop.clone());
        let known = until(&prices, |known| known.problem.is_some()).await;
        assert_eq!(known.prices, None);
        std::fs::write(&path, GOOD).unwrap();
        let known = until(&prices, |known| known.problem.is_none()).await;
        assert_eq!(known.prices.as_ref().unwrap().currency, "USD");
        std::fs::write(&path, GOOD.replace("USD", "EUR")).unwrap();
        let changed = until(&prices, |later| later != &known).await;
        assert_eq!(changed.prices.as_ref().unwrap().currency, "EUR");
        std::fs::write(&path, GOOD.replace("USD", "$")).unwrap();
        let bad = until(&prices, |known| known.problem.is_some()).await;
        assert_eq!(bad.prices, changed.prices);
        assert!(bad.problem.unwrap().contains("currency"));
        stop.cancel();
    }
}

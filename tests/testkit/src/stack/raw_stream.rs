//! The stream of a task as its bytes come, comments among them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Response;

use super::client::{Client, StreamFormat};

/// What a stream without events sends from time to time.
const COMMENT: &str = ": ping";

/// An open stream.
#[derive(Debug)]
pub struct RawStream {
    response: Response,
    text: String,
}

impl RawStream {
    pub(super) async fn open(client: &Client, task_id: &str) -> anyhow::Result<Self> {
        let response = client.open_stream(task_id, StreamFormat::Events, Some("0")).await?;
        Ok(Self {
            response,
            text: String::new(),
        })
    }

    /// Reads until so many more comments have come: each ends 15 s without an event.
    pub async fn until_comments(&mut self, count: usize, timeout: Duration) -> anyhow::Result<()> {
        let wanted = self.comments() + count;
        self.until(&format!("{count} comments"), timeout, |stream| {
            stream.comments() >= wanted
        })
        .await
    }

    /// Reads until this text has come.
    pub async fn until_text(&mut self, text: &str, timeout: Duration) -> anyhow::Result<()> {
        self.until(text, timeout, |stream| stream.text.contains(text)).await
    }

    fn comments(&self) -> usize {
        self.text.matches(COMMENT).count()
    }

    async fn until(&mut self, what: &str, timeout: Duration, is_reached: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let read = async {
            while !is_reached(self) {
                let Some(chunk) = self.response.chunk().await.context("read a stream")? else {
                    bail!("the stream ended");
                };
                self.text.push_str(&String::from_utf8_lossy(&chunk));
            }
            Ok(())
        };
        let ended = tokio::time::timeout(timeout, read).await;
        ended
            .unwrap_or_else(|_| bail!("nothing came within {timeout:?}"))
            .with_context(|| format!("wait for {what}; the stream has {:?}", self.text))
    }
}

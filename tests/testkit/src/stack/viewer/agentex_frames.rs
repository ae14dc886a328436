//! A task's stream in the Agentex format.

use std::pin::Pin;

use anyhow::Context as _;
use futures::{Stream, StreamExt as _};
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};

use crate::stack::{
    TIMEOUT,
    client::{Client, StreamFormat},
};

/// The frames of one connection.
pub struct AgentexFrames {
    stream: Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>,
}

impl AgentexFrames {
    pub(in crate::stack) async fn open(client: &Client, task_id: &str) -> anyhow::Result<Self> {
        let response = client.open_stream(task_id, StreamFormat::Agentex, None).await?;
        Ok(Self {
            stream: Box::pin(SseByteStream::new(response.bytes_stream())),
        })
    }

    /// Reads frames until one meets the condition, and returns all that were read.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&Value) -> bool) -> anyhow::Result<Vec<Value>> {
        let mut frames: Vec<Value> = Vec::new();
        let read = async {
            while !frames.last().is_some_and(&condition) {
                let event = self.stream.next().await.context("the gateway closed the stream")??;
                if let Some(data) = event.data {
                    frames.push(serde_json::from_str(&data).with_context(|| format!("read the frame {data:?}"))?);
                }
            }
            anyhow::Ok(())
        };
        let outcome = tokio::time::timeout(TIMEOUT, read).await;
        outcome
            .with_context(|| format!("gave up after {TIMEOUT:?}"))
            .flatten()
            .with_context(|| format!("wait for {what}; the stream sent {frames:#?}"))?;
        Ok(frames)
    }
}

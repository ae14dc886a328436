//! One viewer that costs little: it looks for the times of deltas in what arrives, and parses nothing else.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::bench::stamps;

const BUFFER_BYTES: usize = 16 * 1024;
/// A stamp that is cut between two reads is shorter than this.
const CARRIED_BYTES: usize = 32;
/// How long a viewer waits before it looks whether the measurement has ended.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A delta that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// When the model sent it, in microseconds since 1970.
    pub(super) sent: u64,
    /// When the viewer had it.
    pub(super) at: u64,
}

/// An open stream of server-sent events.
#[derive(Debug)]
pub(super) struct Connection(TcpStream);

impl Connection {
    /// Opens the stream of a task, and waits for its first event.
    pub(super) async fn open(address: &str, task_id: &str, format: &str) -> anyhow::Result<Self> {
        let open = async {
            let mut stream = TcpStream::connect(address).await?;
            let request = format!(
                "GET /tasks/{task_id}/stream?format={format} HTTP/1.1\r\nHost: {address}\r\nAccept: \
                 text/event-stream\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await?;
            let mut head = Vec::new();
            let mut buffer = vec![0; BUFFER_BYTES];
            while !contains(&head, b"connected") {
                let length = stream.read(&mut buffer).await?;
                head.extend_from_slice(&buffer[..length]);
                if length == 0 || !(head.starts_with(b"HTTP/1.1 200") || head.len() < 12) {
                    bail!("the gateway answers: {}", String::from_utf8_lossy(&head));
                }
            }
            Ok(Self(stream))
        };
        timeout(CONNECT_TIMEOUT, open)
            .await
            .context("the gateway does not answer in time")?
            .with_context(|| format!("watch the task {task_id}"))
    }

    /// Reads until the end; returns the deltas that count.
    pub(super) async fn read(
        mut self,
        counts: impl Fn(u64) -> bool,
        has_ended: impl Fn() -> bool,
    ) -> anyhow::Result<Vec<Received>> {
        let mut received = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut carried = 0;
        while !has_ended() {
            let Ok(length) = timeout(READ_TIMEOUT, self.0.read(&mut buffer[carried..])).await else {
                continue;
            };
            let length = length.context("read a stream")?;
            ensure!(length > 0, "the gateway ended a stream");
            let at = stamps::now_micros();
            let end = carried + length;
            let scanned = scanned(&buffer[..end]);
            let found = stamps::find(&buffer[..scanned]).into_iter();
            received.extend(found.filter(|sent| counts(*sent)).map(|sent| Received { sent, at }));
            buffer.copy_within(scanned..end, 0);
            carried = end - scanned;
        }
        Ok(received)
    }
}

/// How much of what has arrived can be searched: not a stamp that may be cut at the end.
fn scanned(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(CARRIED_BYTES);
    let cut = bytes[tail..].iter().rposition(|byte| *byte == b'@');
    match cut {
        Some(place) if bytes.len() - tail - place < stamps::LENGTH => tail + place,
        _ => bytes.len(),
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_that_is_cut_waits_for_its_rest_and_a_whole_one_does_not() {
        let stamp = b"data: @1763000000000001 ";
        assert_eq!(scanned(stamp), stamp.len());
        assert_eq!(scanned(&stamp[..20]), 6);
        assert_eq!(scanned(b"data: no time in here at all, and none at its end"), 49);
    }
}

//! A model API whose every answer a test decides: broken streams, refusals,
//! unknown events, answers held at a known point.
//!
//! Speaks the streaming Responses API on a thread of its own, so that any number
//! of tests and programs may talk to it. Keeps a journal of the requests, keys
//! included, and checks each conversation on arrival as a strict provider would;
//! what it finds is in `violations` and never changes the answer.

mod conversation;
mod events;
mod gate;
mod journal;
mod render;
mod reply;
mod request;
mod server;
mod text;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::oneshot;

pub use events::{
    ev_completed, ev_created, ev_error, ev_failed, ev_in_progress, ev_incomplete, ev_output_item_added,
    ev_output_item_done, ev_output_text_delta, ev_reasoning_summary_text_delta,
};
pub use gate::Gate;
pub use journal::{Call, Outcome};
pub use reply::{Reply, USAGE};
pub use request::ModelRequest;
pub use text::Text;

use crate::port::Port;
use journal::Journal;

type Script = dyn Fn(&ModelRequest) -> Reply + Send + Sync;

/// One scripted model server; it ends when dropped.
pub struct ScriptedModel {
    address: SocketAddr,
    journal: Journal,
    /// Ours for as long as the server lives, unless the caller bound it.
    port: Option<Port>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedModel {
    /// On a free port of 127.0.0.1. The script decides the reply to each request.
    pub fn start(script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static) -> anyhow::Result<Self> {
        let port = Port::lease()?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).context("bind the scripted model's port")?;
        let mut model = Self::start_on(listener, script)?;
        model.port = Some(port);
        Ok(model)
    }

    /// On a listener of the caller's, for instance one that pods can reach.
    pub fn start_on(
        listener: TcpListener,
        script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let script: Arc<Script> = Arc::new(script);
        let address = listener.local_addr().context("read the scripted model's address")?;
        listener
            .set_nonblocking(true)
            .context("prepare the scripted model's listener")?;
        let journal = Journal::default();
        let (stop, stopped) = oneshot::channel();
        let app = server::app(journal.clone(), script);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the scripted model's runtime")?;
        let thread = std::thread::Builder::new()
            .name("scripted-model".to_owned())
            .spawn(move || runtime.block_on(server::serve(listener, app, stopped)))
            .context("start the scripted model's thread")?;
        Ok(Self {
            address,
            journal,
            port: None,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://<address>:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What an Agent's `model.baseUrl` wants: `http://<address>:<port>/v1`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// The requests so far, oldest first.
    pub fn journal(&self) -> Vec<Call> {
        self.journal.calls()
    }

    /// Reads the body of the first request and of one in `count` after it: to read a thousand long
    /// conversations would take longer than to send them, and fill the memory.
    pub fn read_one_in(&self, count: NonZeroUsize) {
        self.journal.read_one_in(count);
    }

    /// What a strict provider would have refused, each with the number of its request.
    pub fn violations(&self) -> Vec<String> {
        self.journal.violations()
    }

    /// Waits until this many requests have come in, and gives them.
    pub async fn until_calls(&self, count: usize, timeout: Duration) -> anyhow::Result<Vec<Call>> {
        crate::wait::until(format!("{count} model calls"), timeout, async || {
            let calls = self.journal();
            if calls.len() < count {
                bail!("{} came so far", calls.len());
            }
            Ok(calls)
        })
        .await
    }
}

impl std::fmt::Debug for ScriptedModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ScriptedModel")
            .field("address", &self.address)
            .field("port", &self.port)
            .field("calls", &self.journal.calls().len())
            .finish_non_exhaustive()
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that it ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the scripted model's thread panicked");
        }
    }
}

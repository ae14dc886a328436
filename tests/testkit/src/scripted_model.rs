//! A model server whose responses a test's script decides: broken streams,
//! refusals, unknown events, responses that are held at a known point.
//!
//! Serves the streaming Responses and Chat Completions APIs on a thread of its own, so that tests with
//! different runtimes can share it. Keeps a journal of the requests, including API
//! keys, and validates each conversation as a strict provider does. Violations are
//! only recorded: they never change the response.

mod events;
mod gate;
mod journal;
mod render;
mod reply;
mod request;
mod server;
mod text;
mod validation;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::NonZeroUsize,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::sync::oneshot;

use crate::port::{self, Port};
use journal::Journal;

pub use events::{
    ev_completed, ev_created, ev_error, ev_failed, ev_in_progress, ev_incomplete, ev_output_item_added,
    ev_output_item_done, ev_output_text_delta, ev_reasoning_summary_text_delta,
};
pub use gate::Gate;
pub use journal::{ModelCall, ResponseOutcome};
pub use reply::{Raw, Reply, USAGE, chat_delta, chat_end, chat_frame, chat_usage};
pub use request::ModelRequest;
pub use text::Text;

type Script = dyn Fn(&ModelRequest) -> Reply + Send + Sync;

/// One scripted model server. It ends when the value is dropped.
pub struct ScriptedModel {
    address: SocketAddr,
    journal: Journal,
    /// The lease of the port, unless the caller gave the listener.
    port: Option<Port>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedModel {
    /// Starts one on a free port of 127.0.0.1. The script returns the reply to each request.
    pub fn start(script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static) -> anyhow::Result<Self> {
        let port = port::lease()?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).context("bind the scripted model's port")?;
        let mut model = Self::start_on(listener, script)?;
        model.port = Some(port);
        Ok(model)
    }

    /// Starts one on the caller's listener, for instance one that pods can reach.
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

    /// The value for an Agent's `model.baseUrl`: `http://<address>:<port>/v1`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// The requests so far, oldest first.
    pub fn journal(&self) -> Vec<ModelCall> {
        self.journal.calls()
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Parses only the bodies of the first request and of every `count`th one after it. To parse a thousand
    /// long conversations takes longer than to send them, and fills the memory.
    pub fn read_one_in(&self, count: NonZeroUsize) {
        self.journal.read_one_in(count);
    }

    /// The errors for which a strict provider would have refused a request, each with the request's number.
    pub fn violations(&self) -> Vec<String> {
        self.journal.violations()
    }

    /// Waits until the server has received this many requests, and returns them.
    pub async fn until_calls(&self, count: usize, timeout: Duration) -> anyhow::Result<Vec<ModelCall>> {
        crate::wait::until(format!("{count} model calls"), timeout, async || {
            let calls = self.journal();
            if calls.len() < count {
                bail!("{} were received", calls.len());
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
            // An error means that the server has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the scripted model's thread panicked");
        }
    }
}

//! A worker with tools and hooks of your own, in Rust: the program that runs an
//! agent's conversations runs them too, so that one image is all there is.
//!
//! ```no_run
//! use steadfast_worker::{ToolContext, ToolError, Worker};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Dice {
//!     /// How many sides.
//!     sides: u32,
//! }
//!
//! async fn roll(_: ToolContext, dice: Dice) -> Result<u32, ToolError> {
//!     if dice.sides == 0 {
//!         return Err(ToolError::permanent("a die has sides"));
//!     }
//!     Ok(4)
//! }
//!
//! #[tokio::main]
//! async fn main() -> anyhow::Result<()> {
//!     Worker::builder().tool("roll_dice", "Rolls a die.", roll).run().await
//! }
//! ```
//!
//! Name the image in the Agent's `spec.worker.image`. `--print-tools` prints the AgentTools to apply.

mod dynamic;
mod manifest;

use std::{future::Future, sync::Arc};

use clap::Parser as _;
use futures::{FutureExt as _, future::BoxFuture};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use steadfast_process::{AdminServer, Readiness, crypto, prometheus::Registry, shutdown, telemetry};
use tokio::net::TcpListener;

use crate::{args::Args, context, worker};

pub use dynamic::DynamicActivity;
pub use manifest::ToolManifest;

/// A worker program.
pub struct Worker;

impl Worker {
    /// Begins with the tools and hooks of every worker: none.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder::default()
    }
}

/// What a worker is to serve beside its agents.
#[derive(Default)]
pub struct WorkerBuilder {
    activities: Vec<DynamicActivity>,
    manifests: Vec<ToolManifest>,
}

/// The call a tool or hook is running for.
#[derive(Clone, Debug, Default)]
pub struct ToolContext {
    /// Id of the conversation.
    pub task_id: String,
    /// The same for every attempt of this call, different for every other: give it to whatever must not act twice.
    pub idempotency_key: String,
    /// 1 for the first.
    pub attempt: u32,
}

/// Why a tool has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// It is tried again, as the AgentTool's `retry` says.
    #[error("{0}")]
    Transient(String),
    /// Another attempt cannot help; the model is told why.
    #[error("{0}")]
    Permanent(String),
}

impl ToolError {
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::Transient(reason.into())
    }

    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent(reason.into())
    }
}

/// What a hook wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HookAnswer {
    /// Texts that people are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
    /// Whether the message that the event is about is hidden.
    pub suppress: bool,
}

pub(crate) type Handler = Arc<dyn Fn(ToolContext, Value) -> BoxFuture<'static, Result<Value, ToolError>> + Send + Sync>;

impl WorkerBuilder {
    /// Adds a tool. Its name is that of the activity, and, but for `_` instead of `-`, of its AgentTool; the schema
    /// of its arguments is that of `A`.
    #[must_use]
    pub fn tool<A, R, F, Running>(mut self, name: &str, description: &str, run: F) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + 'static,
        F: Fn(ToolContext, A) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<R, ToolError>> + Send + 'static,
    {
        self.manifests.push(ToolManifest::new::<A>(name, description));
        self.activities.push(DynamicActivity::new(name, handler(run)));
        self
    }

    /// Adds a hook: the activity that `spec.hooks[].activity` names. It gets the event as JSON.
    #[must_use]
    pub fn hook<F, Running>(mut self, name: &str, run: F) -> Self
    where
        F: Fn(ToolContext, Value) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<HookAnswer, ToolError>> + Send + 'static,
    {
        self.activities.push(DynamicActivity::new(name, handler(run)));
        self
    }

    /// Runs the program until it is told to stop: arguments, logs, probes, metrics and all.
    pub async fn run(self) -> anyhow::Result<()> {
        crypto::install();
        let args = Args::parse();
        if args.print_tools {
            return manifest::print(&self.manifests);
        }
        let _telemetry = telemetry::init("steadfast-worker", args.log_format, &args.log_level)?;
        let stop = shutdown::on_signal()?;
        let readiness = Readiness::new();
        let registry = Registry::new();
        let listener = TcpListener::bind(args.admin_address).await?;
        let admin_stop = tokio_util::sync::CancellationToken::new();
        let admin = AdminServer::new(readiness.clone(), registry.clone());
        let admin = tokio::spawn(admin.serve(listener, admin_stop.clone().cancelled_owned()));
        let result = worker::run(args, self.activities, &registry, readiness, stop).await;
        admin_stop.cancel();
        admin.await??;
        result
    }
}

fn handler<A, R, F, Running>(run: F) -> Handler
where
    A: DeserializeOwned + Send + 'static,
    R: Serialize + 'static,
    F: Fn(ToolContext, A) -> Running + Send + Sync + 'static,
    Running: Future<Output = Result<R, ToolError>> + Send + 'static,
{
    Arc::new(move |context, arguments| {
        let arguments = match serde_json::from_value(arguments) {
            Ok(arguments) => arguments,
            Err(error) => {
                let refused = ToolError::Permanent(format!("the arguments do not fit: {error}"));
                return futures::future::ready(Err(refused)).boxed();
            }
        };
        let running = run(context, arguments);
        async move {
            let result = running.await?;
            serde_json::to_value(result)
                .map_err(|error| ToolError::Permanent(format!("the result cannot be written as JSON: {error}")))
        }
        .boxed()
    })
}

/// What is known of the running activity.
pub(crate) fn tool_context(attempt: u32) -> ToolContext {
    let context = context::current();
    ToolContext {
        task_id: context.task_id,
        idempotency_key: context.idempotency_key.unwrap_or_default(),
        attempt,
    }
}

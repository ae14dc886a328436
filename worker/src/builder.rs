//! Builds a worker program with tools and hooks in Rust: one image runs the
//! conversations of an agent and its own tools.
//!
//! ```no_run
//! use steadfast_worker::{ToolContext, ToolError, Worker};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Dice {
//!     /// Number of sides.
//!     sides: u32,
//! }
//!
//! async fn roll(_: ToolContext, dice: Dice) -> Result<u32, ToolError> {
//!     if dice.sides == 0 {
//!         return Err(ToolError::permanent("sides must be at least 1"));
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
//! Set the image as the Agent's `spec.worker.image`. `--print-tools` prints the AgentTools to apply.

mod manifest;

use std::{future::Future, sync::Arc};

use clap::Parser as _;
use futures::FutureExt as _;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use steadfast_contract::{offers::OFFERS_PATH, work::WORK_PATH};
use steadfast_process::{
    AdminServer, Readiness, crypto, outbound::Outbound, prometheus::Registry, shutdown, telemetry,
};
use tokio::net::TcpListener;

use self::manifest::ToolManifest;
use crate::{
    app::{self, Reports},
    args::Args,
    dynamic_activity::{DynamicActivity, Handler},
    tool_api::{HookAnswer, ToolContext, ToolError},
};

/// A worker program.
pub struct Worker;

impl Worker {
    /// A builder without tools and hooks.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder::default()
    }
}

/// The tools and hooks of a worker program.
#[derive(Default)]
pub struct WorkerBuilder {
    activities: Vec<DynamicActivity>,
    manifests: Vec<ToolManifest>,
}

impl WorkerBuilder {
    /// Adds a tool. `name` is the name of its activity and, with `-` instead of `_`, of its AgentTool. The schema of
    /// its arguments is the JSON Schema of `A`.
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

    /// Adds a hook: an activity for `spec.hooks[].activity` of an Agent. Its argument is the event as JSON.
    #[must_use]
    pub fn hook<F, Running>(mut self, name: &str, run: F) -> Self
    where
        F: Fn(ToolContext, Value) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<HookAnswer, ToolError>> + Send + 'static,
    {
        self.activities.push(DynamicActivity::new(name, handler(run)));
        self
    }

    /// Runs the program until SIGTERM or SIGINT: parses the arguments, logs, and serves probes and metrics.
    pub async fn run(self) -> anyhow::Result<()> {
        crypto::install();
        let args = Args::parse();
        if args.print_tools {
            return manifest::print(&self.manifests);
        }
        let outbound = Outbound::new(&args.outbound)?;
        let _telemetry = telemetry::init("steadfast-worker", args.log_format, &args.log_level, &outbound)?;
        let stop = shutdown::on_signal()?;
        let readiness = Readiness::new();
        let registry = Registry::new();
        let listener = TcpListener::bind(args.admin_address).await?;
        let admin_stop = tokio_util::sync::CancellationToken::new();
        let reports = Reports::default();
        let Reports { offers, work } = reports.clone();
        let admin = AdminServer::new(readiness.clone(), registry.clone())
            .with_report(OFFERS_PATH, move || offers.report())
            .with_report(WORK_PATH, move || work.report());
        let admin = tokio::spawn(admin.serve(listener, admin_stop.clone().cancelled_owned()));
        let result = app::run(args, self.activities, &registry, readiness, reports, stop).await;
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
                let refused = ToolError::Permanent(format!("the arguments do not match the schema: {error}"));
                return futures::future::ready(Err(refused)).boxed();
            }
        };
        let running = run(context, arguments);
        async move {
            let result = running.await?;
            serde_json::to_value(result)
                .map_err(|error| ToolError::Permanent(format!("the result cannot be serialized as JSON: {error}")))
        }
        .boxed()
    })
}

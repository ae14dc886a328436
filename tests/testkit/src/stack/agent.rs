//! An agent of a test: its revisions, its workers, and the model they call.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde_json::{Value, json};
use steadfast_crds::agent_revision::AgentRevisionSpec;

use super::{API_KEY, Client, INSTALL, NAMESPACE, PATIENCE, Program, Stack, Task, revision};
use crate::port::Port;
use crate::process::Launch;
use crate::scripted_model::{ModelRequest, Reply, ScriptedModel};
use crate::site::Site;

type Script = Box<dyn Fn(&ModelRequest) -> Reply + Send + Sync>;
type Change = Box<dyn FnOnce(&mut AgentRevisionSpec) -> anyhow::Result<()> + Send>;

/// What an agent is to be like.
pub struct AgentSetup {
    name: String,
    script: Script,
    workers: usize,
    changes: Vec<Change>,
    variables: Vec<(String, String)>,
}

impl AgentSetup {
    /// One worker, no tools. The name must be unique in its stack.
    pub fn new(name: &str, script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            name: name.to_owned(),
            script: Box::new(script),
            workers: 1,
            changes: Vec::new(),
            variables: Vec::new(),
        }
    }

    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Gives its workers an environment variable; an `OPENAI_API_KEY` of its own, for one.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a tool under the name the model calls it by, from the spec of an AgentTool.
    #[must_use]
    pub fn tool(mut self, name: &str, spec: Value) -> Self {
        let name = name.to_owned();
        self.changes.push(Box::new(move |revision| {
            revision.tools.push(revision::tool(&name, spec)?);
            Ok(())
        }));
        self
    }

    /// Changes the first revision before it is published.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut AgentRevisionSpec) + Send + 'static) -> Self {
        self.changes.push(Box::new(|revision| {
            change(revision);
            Ok(())
        }));
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// An agent whose workers run.
#[derive(Debug)]
pub struct Agent {
    // Dropped in this order: workers before the model they call.
    workers: Vec<Program>,
    model: ScriptedModel,
    gateway: Arc<Program>,
    spec: Mutex<AgentRevisionSpec>,
    revisions: PathBuf,
    client: Client,
}

impl Agent {
    pub(super) async fn start(stack: &Stack, setup: AgentSetup) -> anyhow::Result<Self> {
        let model = ScriptedModel::start(setup.script)?;
        let mut spec = revision::first(&setup.name, &model.base_url())?;
        for change in setup.changes {
            change(&mut spec)?;
        }
        let revisions = stack.revisions.folder().to_path_buf();
        revision::publish(&revisions, &spec)?;
        let workers = (0..setup.workers)
            .map(|_| worker(stack, &setup.name, &setup.variables))
            .collect::<anyhow::Result<Vec<Program>>>()?;
        for worker in &workers {
            // All at once: each starts while the others do.
            worker.service().start()?;
        }
        for worker in &workers {
            worker.launch().await?;
        }
        let client = Client::new(stack.url())?;
        let path = format!("/agents/name/{}", setup.name);
        crate::wait::until("the gateway to know the agent", PATIENCE, async || {
            client.get(&path).await?.ok()
        })
        .await?;
        Ok(Self {
            workers,
            model,
            gateway: stack.gateway.clone(),
            spec: Mutex::new(spec),
            revisions,
            client,
        })
    }

    pub fn name(&self) -> String {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner).agent.clone()
    }

    /// The model its workers call.
    pub fn model(&self) -> &ScriptedModel {
        &self.model
    }

    /// The only worker, or the first one.
    pub fn worker(&self) -> &Program {
        &self.workers[0]
    }

    pub fn workers(&self) -> &[Program] {
        &self.workers
    }

    /// A client of the gateway.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Edits the agent: publishes its next revision.
    pub fn edit(&self, change: impl FnOnce(&mut AgentRevisionSpec)) -> anyhow::Result<()> {
        let mut spec = self.spec.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut spec);
        spec.sequence += 1;
        revision::publish(&self.revisions, &spec)
    }

    /// Takes a revision away, as the operator does with one that no new turn runs on.
    pub fn collect(&self, sequence: i64) -> anyhow::Result<()> {
        revision::remove(&self.revisions, &self.name(), sequence)
    }

    /// Deletes it: neither workers nor revisions are left.
    pub async fn delete(&self) -> anyhow::Result<()> {
        for worker in &self.workers {
            worker.stop().await?;
        }
        let newest = self.spec.lock().unwrap_or_else(PoisonError::into_inner).sequence;
        (1..=newest).try_for_each(|sequence| self.collect(sequence))
    }

    /// Begins a conversation.
    pub async fn task(&self) -> anyhow::Result<Task> {
        self.task_with(json!({})).await
    }

    /// The same with `name`, `params` or `task_metadata`.
    pub async fn task_with(&self, params: Value) -> anyhow::Result<Task> {
        let name = self.name();
        let task = Task::create(self.client.clone(), &name, params).await;
        task.with_context(|| format!("create a task of agent {name:?}"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.gateway.show_log();
            for call in self.model.journal() {
                let input = call.request.input();
                let last = input.last().map(ToString::to_string).unwrap_or_default();
                let shown: String = last.chars().take(300).collect();
                eprintln!(
                    "model call {}: {} items, {:?}, the last: {shown}",
                    call.request.number,
                    input.len(),
                    call.outcome
                );
            }
            eprintln!("violations: {:?}", self.model.violations());
        }
    }
}

fn worker(stack: &Stack, agent: &str, variables: &[(String, String)]) -> anyhow::Result<Program> {
    let admin = Port::lease()?;
    let launch = Launch::new("worker", stack.programs.worker()?)
        .path_flag("revisions", stack.revisions.folder())
        .variable("STEADFAST_INSTALL", INSTALL)
        .variable("STEADFAST_NAMESPACE", NAMESPACE)
        .variable("STEADFAST_AGENT", agent)
        .variable(
            "STEADFAST_TASK_QUEUE",
            steadfast_crds::names::agent_task_queue(INSTALL, NAMESPACE, agent),
        )
        .variable("STEADFAST_ADMIN_ADDRESS", format_args!("127.0.0.1:{}", admin.number()))
        .variable("STEADFAST_DRAIN_TIMEOUT_SECONDS", 5)
        .variable("STEADFAST_LOG_FORMAT", "compact")
        .variable("TEMPORAL_ADDRESS", stack.temporal.url())
        .variable("TEMPORAL_NAMESPACE", "default")
        .variable("REDIS_URL", stack.redis.url())
        // Tools of tests are on this machine.
        .variable("STEADFAST_INSECURE_ALLOW_LOOPBACK", true)
        .variable("OPENAI_API_KEY", API_KEY);
    let launch = variables
        .iter()
        .fold(launch, |launch, (name, value)| launch.variable(name, value));
    Program::new(launch, admin, Site::of_this_process("worker")?)
}

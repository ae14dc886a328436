//! An agent of a test: its revisions, its workers, and the model that they call.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use steadfast_crds::{
    agent_revision::AgentRevisionSpec,
    names::{agent_task_queue, pool_task_queue},
};

use super::{
    API_KEY, INSTALL, NAMESPACE, Stack, TIMEOUT, binary_dir::BinaryDir, client::Client, component::Component,
    revision_dir, task::Task,
};
use crate::{
    install_root::InstallRoot,
    port,
    process::Launch,
    scripted_model::{ModelRequest, Reply, ScriptedModel},
};

type Script = Box<dyn Fn(&ModelRequest) -> Reply + Send + Sync>;
type Change = Box<dyn FnOnce(&mut AgentRevisionSpec) -> anyhow::Result<()> + Send>;

/// The settings of an agent.
pub struct AgentSetup {
    name: String,
    namespace: String,
    script: Script,
    workers: usize,
    changes: Vec<Change>,
    variables: Vec<(String, String)>,
    named_processes: bool,
    kubeconfig: Option<PathBuf>,
    programs: Option<BinaryDir>,
    pool: Option<String>,
    awaits_workers: bool,
}

impl AgentSetup {
    /// One worker, no tools. The name must be unique in its stack.
    pub fn new(name: &str, script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            name: name.to_owned(),
            namespace: NAMESPACE.to_owned(),
            script: Box::new(script),
            workers: 1,
            changes: Vec::new(),
            variables: Vec::new(),
            named_processes: false,
            kubeconfig: None,
            programs: None,
            pool: None,
            awaits_workers: true,
        }
    }

    /// Does not wait until the workers are ready: for those that never are.
    #[must_use]
    pub fn with_unready_workers(mut self) -> Self {
        self.awaits_workers = false;
        self
    }

    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Puts the agent and its workers into another namespace. Its name stays unique in the stack.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        let task_queue = agent_task_queue(INSTALL, namespace, &self.name);
        self.configure(move |revision| revision.task_queue = task_queue)
    }

    /// Puts the agent on a WorkerPool. Its workers serve every agent on the pool: the next one needs none.
    #[must_use]
    pub fn on_pool(mut self, pool: &str) -> Self {
        self.pool = Some(pool.to_owned());
        self.configure({
            let task_queue = pool_task_queue(INSTALL, NAMESPACE, pool);
            move |revision| revision.task_queue = task_queue
        })
    }

    /// Sets an environment variable of the workers, for instance another `OPENAI_API_KEY`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives each worker a name that it keeps when it is started again, as the container of a pod does.
    #[must_use]
    pub(crate) fn named_processes(mut self) -> Self {
        self.named_processes = true;
        self
    }

    /// Lets the workers read the revisions of this cluster, in place of those that the stack publishes.
    #[must_use]
    pub(crate) fn in_cluster(mut self, kubeconfig: PathBuf) -> Self {
        self.kubeconfig = Some(kubeconfig);
        self
    }

    /// Takes the worker from these programs instead of the stack's.
    #[must_use]
    pub(crate) fn programs(mut self, programs: BinaryDir) -> Self {
        self.programs = Some(programs);
        self
    }

    /// Adds a tool from the spec of an AgentTool, under this name for the model.
    #[must_use]
    pub fn tool(mut self, name: &str, spec: Value) -> Self {
        let name = name.to_owned();
        self.changes.push(Box::new(move |revision| {
            revision.tools.push(revision_dir::tool(&name, spec)?);
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

/// An agent with running workers.
#[derive(Debug)]
pub struct Agent {
    // Dropped in this order: workers before the model that they call.
    workers: Vec<Component>,
    model: ScriptedModel,
    gateway: Arc<Component>,
    spec: Mutex<AgentRevisionSpec>,
    namespace: String,
    revisions: PathBuf,
    client: Client,
}

impl Agent {
    pub(super) async fn start(stack: &Stack, setup: AgentSetup) -> anyhow::Result<Self> {
        let model = ScriptedModel::start(setup.script)?;
        let mut spec = revision_dir::first(&setup.name, &model.base_url())?;
        for change in setup.changes {
            change(&mut spec)?;
        }
        let revisions = stack.revisions.path().to_path_buf();
        revision_dir::publish(&revisions, &setup.namespace, &spec)?;
        let programs = setup.programs.as_ref().unwrap_or(&stack.binaries);
        let revisions_of_workers = match setup.kubeconfig {
            Some(kubeconfig) => ("KUBECONFIG".to_owned(), kubeconfig.display().to_string()),
            None => ("STEADFAST_REVISIONS".to_owned(), revisions.display().to_string()),
        };
        let variables = |number: usize| {
            let mut variables = setup.variables.clone();
            variables.push(revisions_of_workers.clone());
            if setup.named_processes {
                variables.push(("STEADFAST_PROCESS_NAME".to_owned(), format!("{}-{number}", setup.name)));
            }
            variables
        };
        let workers = (0..setup.workers)
            .map(|number| {
                worker(
                    stack,
                    (&setup.namespace, &setup.name, setup.pool.as_deref()),
                    &variables(number),
                    programs,
                )
            })
            .collect::<anyhow::Result<Vec<Component>>>()?;
        for worker in &workers {
            // Starts all of them before waiting for the first.
            worker.service().start()?;
        }
        if setup.awaits_workers {
            for worker in &workers {
                worker.launch().await?;
            }
        }
        let client = stack.client()?;
        let path = format!("/agents/name/{}", client_name(&setup.namespace, &setup.name));
        crate::wait::until("the gateway to list the agent", TIMEOUT, async || {
            client.get(&path).await?.success()
        })
        .await?;
        Ok(Self {
            workers,
            model,
            gateway: stack.gateway.clone(),
            spec: Mutex::new(spec),
            namespace: setup.namespace,
            revisions,
            client,
        })
    }

    pub fn name(&self) -> String {
        self.spec().agent.clone()
    }

    /// The model that the workers call.
    pub fn model(&self) -> &ScriptedModel {
        &self.model
    }

    /// The first worker.
    pub fn worker(&self) -> &Component {
        &self.workers[0]
    }

    pub fn workers(&self) -> &[Component] {
        &self.workers
    }

    /// Another worker, which serves a task queue that has no tasks. It is not started yet.
    pub(crate) fn idle_worker(&self, stack: &Stack, task_queue: &str) -> anyhow::Result<Component> {
        self.worker_with(stack, &[("STEADFAST_TASK_QUEUE", task_queue)])
    }

    /// Another worker of its own. It is not started yet.
    pub fn another_worker(&self, stack: &Stack) -> anyhow::Result<Component> {
        self.worker_with(stack, &[])
    }

    /// Another worker of its own, with these environment variables. It is not started yet.
    pub fn worker_with(&self, stack: &Stack, variables: &[(&str, &str)]) -> anyhow::Result<Component> {
        let revisions = self.revisions.display().to_string();
        let own = [("STEADFAST_REVISIONS", revisions.as_str())];
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<(String, String)> = own.iter().chain(variables).map(owned).collect();
        worker(
            stack,
            (&self.namespace, &self.name(), None),
            &variables,
            &stack.binaries,
        )
    }

    /// A client of the gateway.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Edits the agent: publishes its next revision.
    pub fn edit(&self, change: impl FnOnce(&mut AgentRevisionSpec)) -> anyhow::Result<()> {
        let mut spec = self.spec();
        change(&mut spec);
        spec.sequence += 1;
        revision_dir::publish(&self.revisions, &self.namespace, &spec)
    }

    /// Deletes a revision, as the operator does when no new turn uses it.
    pub fn delete_revision(&self, sequence: i64) -> anyhow::Result<()> {
        revision_dir::remove(&self.revisions, &self.name(), sequence)
    }

    /// Deletes the agent: stops its workers and deletes its revisions.
    pub async fn delete(&self) -> anyhow::Result<()> {
        for worker in &self.workers {
            worker.stop().await?;
        }
        let newest = self.spec().sequence;
        (1..=newest).try_for_each(|sequence| self.delete_revision(sequence))
    }

    /// Creates a task.
    pub async fn task(&self) -> anyhow::Result<Task> {
        self.task_with(json!({})).await
    }

    /// Creates a task with `name`, `params` or `task_metadata`.
    pub async fn task_with(&self, params: Value) -> anyhow::Result<Task> {
        let name = client_name(&self.namespace, &self.name());
        self.client.task_with(&name, params).await
    }

    fn spec(&self) -> MutexGuard<'_, AgentRevisionSpec> {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.gateway.print_log();
            for call in self.model.journal() {
                let input = call.request.input();
                let last = input.last().map(ToString::to_string).unwrap_or_default();
                let shortened: String = last.chars().take(300).collect();
                eprintln!(
                    "model call {}: {} items, {:?}, the last: {shortened}",
                    call.request.number,
                    input.len(),
                    call.outcome
                );
            }
            eprintln!("violations: {:?}", self.model.violations());
        }
    }
}

/// The name by which clients of the gateway know an agent.
fn client_name(namespace: &str, agent: &str) -> String {
    match namespace {
        NAMESPACE => agent.to_owned(),
        other => format!("{other}.{agent}"),
    }
}

fn worker(
    stack: &Stack,
    (namespace, agent, pool): (&str, &str, Option<&str>),
    variables: &[(String, String)],
    programs: &BinaryDir,
) -> anyhow::Result<Component> {
    let admin = port::lease()?;
    let launch = Launch::new("worker", programs.worker()?)
        .variable("STEADFAST_INSTALL", INSTALL)
        .variable("STEADFAST_NAMESPACE", namespace);
    let launch = match pool {
        Some(pool) => launch.variable("STEADFAST_WORKER_POOL", pool),
        None => launch
            .variable("STEADFAST_AGENT", agent)
            .variable("STEADFAST_TASK_QUEUE", agent_task_queue(INSTALL, namespace, agent)),
    };
    let launch = launch
        .variable("STEADFAST_ADMIN_ADDRESS", format_args!("127.0.0.1:{}", admin.number()))
        .variable("STEADFAST_DRAIN_TIMEOUT_SECONDS", 5)
        .variable("STEADFAST_LOG_FORMAT", "compact")
        // The tools of tests listen on this machine.
        .variable("STEADFAST_INSECURE_ALLOW_LOOPBACK", true)
        .variable("OPENAI_API_KEY", API_KEY);
    let launch = stack.connections.apply(launch);
    let launch = variables
        .iter()
        .fold(launch, |launch, (name, value)| launch.variable(name, value));
    Component::new(launch, admin, InstallRoot::of_this_process("worker")?)
}

//! Where all contestants run: one Temporal, one Redis, one model; and one contestant at a time.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use steadfast_contract::{
    signals::ReceiveEvent,
    start::{StartTask, WORKFLOW_TYPE},
};
use steadfast_crds::names::agent_task_queue;
use steadfast_events::{Content, TextFormat};
use tools::PythonEnvironment;

use super::{contestant::Contestant, side_server};
use crate::{
    bench::{
        local_server::LocalServer,
        paced_model::{PacedModel, TOOL, Work},
        temporal_api::{SignalWithStart, TemporalApi},
    },
    port::{self, Port},
    process::Service,
    scripted_model::Reply,
    stack::{Agent, AgentSetup, BinaryDir, INSTALL, NAMESPACE, PythonWorker, Stack},
    tools, wait, workspace,
};

/// Imports of a Python worker take long on a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(3);
/// The stream in which the viewer of workflow streams finds what to watch.
const WATCHED: &str = "peer-watch";

/// What all contestants share.
#[derive(Debug)]
pub(super) struct Arena<'stack> {
    pub(super) stack: &'stack Stack,
    pub(super) api: TemporalApi,
    pub(super) model: PacedModel,
    side_server: LocalServer,
    /// The programs of [`Contestant::Before`].
    before: Option<BinaryDir>,
}

/// A contestant whose worker runs. The worker ends when the value is dropped.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) contestant: Contestant,
    program: Program,
    /// The name of its task queue, or of its agent.
    name: String,
}

#[derive(Debug)]
enum Program {
    Python(Box<PythonProgram>),
    Ours(Box<Agent>),
}

/// A worker in Python, and what it needs beside it.
#[derive(Debug)]
struct PythonProgram {
    worker: PythonWorker,
    _viewer: Option<PythonWorker>,
    _health: Option<Port>,
}

impl<'stack> Arena<'stack> {
    pub(super) fn new(stack: &'stack Stack, before: Option<BinaryDir>) -> anyhow::Result<Self> {
        Ok(Self {
            stack,
            api: TemporalApi::new(stack.temporal())?,
            model: PacedModel::start()?,
            side_server: side_server::start()?,
            before,
        })
    }

    /// Starts the worker of a contestant, and waits until it polls.
    pub(super) async fn start(&self, contestant: Contestant, round: usize) -> anyhow::Result<Running> {
        let name = format!("peer-{contestant}-{round}");
        let program = match contestant {
            Contestant::Python => self.python(PythonEnvironment::PeerPlugin, "plugin_worker.py", &name)?,
            Contestant::WorkflowStream => self.workflow_stream(&name)?,
            Contestant::Agentex => self.agentex(&name)?,
            Contestant::ThisBuild => self.ours(&name, None).await?,
            Contestant::Before => {
                let programs = self.before.clone().context("the earlier commit is not built")?;
                self.ours(&name, Some(programs)).await?
            }
        };
        let running = Running {
            contestant,
            program,
            name,
        };
        self.until_polling(&running)
            .await
            .map_err(|error| error.context(running.worker().tail()))?;
        Ok(running)
    }

    /// Waits until the worker polls for workflow tasks.
    async fn until_polling(&self, running: &Running) -> anyhow::Result<()> {
        let what = format!("the worker of {} to poll", running.contestant);
        wait::until(what, START_TIMEOUT, async || {
            let polls = self.api.pending_polls(&running.task_queue()).await?;
            ensure!(polls > 0.0, "nothing polls {}", running.task_queue());
            Ok(())
        })
        .await
    }

    fn python(&self, environment: PythonEnvironment, script: &str, task_queue: &str) -> anyhow::Result<Program> {
        Ok(Program::Python(Box::new(PythonProgram {
            worker: self.python_program(environment, script, &[("TASK_QUEUE", task_queue)])?,
            _viewer: None,
            _health: None,
        })))
    }

    fn workflow_stream(&self, task_queue: &str) -> anyhow::Result<Program> {
        let environment = PythonEnvironment::PeerWorkflowStream;
        let variables = [("TASK_QUEUE", task_queue)];
        Ok(Program::Python(Box::new(PythonProgram {
            worker: self.python_program(environment, "workflow_stream_worker.py", &variables)?,
            _viewer: Some(self.python_program(environment, "workflow_stream_viewer.py", &[])?),
            _health: None,
        })))
    }

    fn agentex(&self, task_queue: &str) -> anyhow::Result<Program> {
        let health = port::lease()?;
        let backend = self.side_server.url();
        let variables = [
            ("WORKFLOW_TASK_QUEUE", task_queue),
            ("WORKFLOW_NAME", "PeerAgentex"),
            ("AGENT_NAME", "peer"),
            ("ACP_URL", "http://127.0.0.1"),
            ("AGENTEX_BASE_URL", &backend),
            ("HEALTH_CHECK_PORT", &health.number().to_string()),
            // Without it, an import downloads a list of prices.
            ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
        ];
        Ok(Program::Python(Box::new(PythonProgram {
            worker: self.python_program(PythonEnvironment::PeerAgentex, "agentex_worker.py", &variables)?,
            _viewer: None,
            _health: Some(health),
        })))
    }

    fn python_program(
        &self,
        environment: PythonEnvironment,
        script: &str,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<PythonWorker> {
        let (redis, model) = (self.stack.redis().url(), self.model.base_url());
        let shared = [
            ("REDIS_URL", redis.as_str()),
            ("OPENAI_BASE_URL", model.as_str()),
            ("OPENAI_API_KEY", "unused"),
            // Otherwise traces go to a host outside.
            ("OPENAI_AGENTS_DISABLE_TRACING", "1"),
        ];
        let variables = [&shared, variables].concat();
        let script = workspace::root().join("tests/peer").join(script);
        self.stack.python_worker_of(environment, &script, &variables)
    }

    async fn ours(&self, name: &str, programs: Option<BinaryDir>) -> anyhow::Result<Program> {
        let base_url = self.model.base_url();
        let mut setup = AgentSetup::new(name, |_| Reply::text("The model of the bench answers instead."))
            .tool(TOOL, tool(&format!("{}/look_up", self.side_server.url())))
            .named_processes()
            .configure(move |spec| {
                spec.model.base_url = base_url;
                // The long conversation is one turn.
                spec.limits.max_model_calls_per_turn = 10_000;
            });
        if let Some(programs) = programs {
            setup = setup.programs(programs);
        }
        Ok(Program::Ours(Box::new(self.stack.agent(setup).await?)))
    }
}

/// The tool of our builds: a request to the bench, as an activity of the worker.
fn tool(url: &str) -> Value {
    json!({
        "description": "Looks something up.",
        "parameters": {
            "type": "object",
            "properties": {"of": {"type": "string"}, "size": {"type": "integer"}},
            "required": ["of", "size"],
        },
        "http": {"method": "POST", "url": url},
    })
}

impl Running {
    /// The process of the worker.
    pub(super) fn worker(&self) -> &Service {
        match &self.program {
            Program::Python(program) => program.worker.service(),
            Program::Ours(agent) => agent.worker().service(),
        }
    }

    /// The agent of a build of ours.
    pub(super) fn agent(&self) -> Option<&Agent> {
        match &self.program {
            Program::Python(_) => None,
            Program::Ours(agent) => Some(agent),
        }
    }

    pub(super) fn task_queue(&self) -> String {
        if self.contestant.is_ours() {
            agent_task_queue(INSTALL, NAMESPACE, &self.name)
        } else {
            self.name.clone()
        }
    }

    /// Where somebody must ask for the log to be copied to Redis: a stream and its field.
    pub(super) fn watched(&self) -> Option<(&'static str, &'static str)> {
        (self.contestant == Contestant::WorkflowStream).then_some((WATCHED, "id"))
    }

    /// The key of a task's log.
    pub(super) fn log_key(&self, task_id: &str, run_id: &str) -> String {
        match self.contestant {
            Contestant::Agentex => format!("task:{task_id}"),
            Contestant::Python | Contestant::WorkflowStream => format!("peer:{task_id}"),
            Contestant::ThisBuild | Contestant::Before => format!("{INSTALL}:stream:{{{task_id}}}:{run_id}"),
        }
    }

    /// Where the log of a task may be instead: earlier commits had one log for all runs of an id.
    pub(super) fn other_log_key(&self, task_id: &str) -> Option<String> {
        (self.contestant == Contestant::Before).then(|| format!("{INSTALL}:stream:{{{task_id}}}"))
    }

    /// The start of a task with its message. `text` follows the description of the work.
    pub(super) fn request(&self, work: &Work, text: &str) -> anyhow::Result<SignalWithStart> {
        let task_id = uuid::Uuid::new_v4().to_string();
        let message = format!("{work} {text}");
        let (workflow_type, input, message) = match self.contestant {
            Contestant::Python | Contestant::WorkflowStream => ("PeerAgent", json!(task_id), json!(message)),
            Contestant::Agentex => (
                "PeerAgentex",
                agentex_start(&task_id),
                agentex_event(&task_id, &message),
            ),
            Contestant::ThisBuild | Contestant::Before => {
                let start = StartTask::new(&task_id, NAMESPACE, &self.name);
                (
                    WORKFLOW_TYPE,
                    serde_json::to_value(start)?,
                    our_message(&work.run, message)?,
                )
            }
        };
        Ok(SignalWithStart {
            workflow_id: task_id,
            workflow_type,
            task_queue: self.task_queue(),
            input,
            message,
        })
    }
}

fn our_message(id: &str, text: String) -> anyhow::Result<Value> {
    let event = ReceiveEvent {
        message_id: id.to_owned(),
        idempotency_key: None,
        content: Content::text(text, TextFormat::default()),
        sender: String::new(),
    };
    serde_json::to_value(event).context("write a message as JSON")
}

fn agentex_agent() -> Value {
    let time = "2026-01-01T00:00:00Z";
    json!({
        "id": "peer", "name": "peer", "acp_type": "async", "description": "", "created_at": time, "updated_at": time,
    })
}

fn agentex_start(task_id: &str) -> Value {
    json!({"agent": agentex_agent(), "task": {"id": task_id}, "params": {}})
}

fn agentex_event(task_id: &str, message: &str) -> Value {
    let content = json!({"type": "text", "author": "user", "content": message});
    let event = json!({
        "id": task_id, "agent_id": "peer", "sequence_id": 1, "task_id": task_id, "content": content,
    });
    json!({"agent": agentex_agent(), "task": {"id": task_id}, "event": event})
}

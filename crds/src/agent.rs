//! The resource Agent: the spec by the user, and the status by the operator.

pub mod context;
pub mod deletion;
pub mod guardrail;
pub mod hook;
pub mod limits;
pub mod references;
pub mod retention;
pub mod schedule;
pub mod stream;

pub use context::{CompactionSettings, ContextSettings, OutputSettings, ToolUse, ToolUseBehavior};
pub use deletion::{DeletionPolicy, DeletionSettings};
pub use guardrail::{Guardrail, Guardrails};
pub use hook::{Hook, HookEvent, Webhook};
pub use limits::AgentLimits;
pub use references::{AgentToolReference, Handoff, HandoffInput};
pub use retention::RetentionSettings;
pub use schedule::{OverlapPolicy, Schedule, ScheduledTask};
pub use stream::StreamSettings;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    environment::{NOT_RESERVED_MESSAGE, NOT_RESERVED_RULE},
    host_pattern::HostPattern,
    model::ModelSpec,
    names,
    names::MAXIMUM_POOL_NAME_BYTES,
    worker::WorkerSettings,
};

/// An AI agent: instructions, a model, tools, credentials and the workers that run it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "steadfast.dev",
    version = "v1alpha1",
    kind = "Agent",
    namespaced,
    status = "AgentStatus",
    derive = "PartialEq",
    shortname = "agt",
    category = "steadfast",
    doc = "An AI agent whose conversations survive the loss of any process.",
    cel,
    validation = Rule::new(names::agent_name_rule()).message(names::agent_name_message().as_str()),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model.name"),
    printcolumn(name = "Tools", type_ = "integer", json_path = ".status.tools"),
    printcolumn(name = "Workers", type_ = "string", json_path = ".status.workers.ready"),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".status.revision"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, priority = 1)
)]
#[x_kube(validation = Rule::new("has(self.instructions) != has(self.instructionsFrom)")
    .message("exactly one of instructions and instructionsFrom must be set"))]
// The API server fills `worker` with its defaults: these alone are no wish for pods of its own.
#[x_kube(validation = Rule::new("!has(self.workerPool) || !has(self.worker) || (!has(self.worker.image) && \
    !has(self.worker.resources) && !has(self.worker.podTemplate) && !has(self.worker.autoscaling) && \
    !has(self.worker.rollout) && \
    (!has(self.worker.replicas) || self.worker.replicas == 1) && \
    (!has(self.worker.drainTimeout) || self.worker.drainTimeout == '2m'))")
    .message("worker and workerPool exclude each other: the pods of a pool are described in the WorkerPool"))]
#[serde(rename_all = "camelCase")]
pub struct AgentSpec {
    /// The purpose of the agent in a sentence, for people and for other agents.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// The system prompt: a minijinja template over `user`, `task`, `now` and `params`. It is rendered once per turn.
    /// At most 32 levels of blocks, and in each tag 16 levels of brackets and 512 words and signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Where the system prompt is stored, if not in this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions_from: Option<InstructionsSource>,
    /// The model of the agent.
    pub model: ModelSpec,
    /// Secret values that the worker receives as environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["envVarName".to_owned()]))]
    pub credentials: Vec<Credential>,
    /// The tools of the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.filter(t, has(t.tool)).all(t, self.exists_one(u, has(u.tool) && u.tool == t.tool))")
        .message("a tool is listed at most once"))]
    pub tools: Vec<AgentToolReference>,
    /// Agents that can take over the conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(h, self.exists_one(g, g.agent == h.agent))")
        .message("an agent is listed at most once"))]
    pub handoffs: Vec<Handoff>,
    /// What happens after a tool call.
    #[serde(default)]
    pub tool_use: ToolUse,
    /// The schema of the final answer; the answer is plain text when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSettings>,
    /// Checks of messages and answers.
    #[serde(default)]
    pub guardrails: Guardrails,
    /// Receivers of the events of a turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub hooks: Vec<Hook>,
    /// The parts of a turn that people see.
    #[serde(default)]
    pub stream: StreamSettings,
    /// The limits of turns and tasks.
    #[serde(default)]
    pub limits: AgentLimits,
    /// The part of a long conversation that the model receives.
    #[serde(default)]
    pub context: ContextSettings,
    /// How long what a task leaves is kept.
    #[serde(default)]
    pub retention: RetentionSettings,
    /// A message to the user when a task is created. The model does not receive it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16_384))]
    pub welcome: String,
    /// Messages that are sent to the agent at set times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(s, self.exists_one(t, t.name == s.name))")
        .message("each schedule has a name of its own"))]
    pub schedules: Vec<Schedule>,
    /// The pods that run the agent; nothing beside `workerPool`.
    #[serde(default)]
    pub worker: WorkerSettings,
    /// The WorkerPool that runs the agent, in place of pods of its own. The agent has no `credentials` then: it uses
    /// those of the pool. A change moves the agent with its running tasks; the workers before stay until none is left on
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_pool: Option<WorkerPoolReference>,
    /// What becomes of the tasks when the Agent is deleted. When absent, they are left as they are, and nothing holds up
    /// the deletion: they go on when an Agent of the same name is created again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionSettings>,
}

/// A WorkerPool in the Agent's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolReference {
    /// Name of the WorkerPool.
    #[schemars(length(min = 1, max = MAXIMUM_POOL_NAME_BYTES))]
    pub name: String,
}

impl AgentSpec {
    /// The name of the WorkerPool that runs the agent; `None` for an agent with pods of its own.
    #[must_use]
    pub fn pool(&self) -> Option<&str> {
        self.worker_pool.as_ref().map(|pool| pool.name.as_str())
    }
}

/// Where the instructions are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstructionsSource {
    /// A key of a ConfigMap in the Agent's namespace. The operator watches the ConfigMap.
    pub config_map_key_ref: ConfigMapKey,
}

/// One key of a ConfigMap in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key below `data`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// One secret value and its environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Environment variable of the worker. Variables that the worker itself uses are refused.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    #[x_kube(validation = Rule::new(NOT_RESERVED_RULE).message(NOT_RESERVED_MESSAGE))]
    pub env_var_name: String,
    /// Name of a Secret in the Agent's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Key below the Secret's `data`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_key: String,
    /// Hosts to which the worker may send the value: `api.openai.com` is one host, `*.example.com` is every name
    /// below example.com but not example.com itself, and `:8443` at the end allows this port only. When the list is
    /// empty, every host is allowed that no argument of a tool can change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub hosts: Vec<HostPattern>,
}

/// The state of an Agent, written by the operator. At most 4 KiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Sequence number of the current AgentRevision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Temporal task queue that this Agent's workers poll: its own, or that of its pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_queue: Option<String>,
    /// Task queues that the Agent had before, the last one first; 4 at most. Tasks that began there are found there, and
    /// move from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_task_queues: Vec<String>,
    /// Number of entries in `tools`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<i32>,
    /// The worker pods; absent for an Agent on a WorkerPool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersStatus>,
    /// Keyed hash of the secret values in the newest pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_hash: Option<String>,
    /// The conditions, with reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

/// The numbers of worker pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkersStatus {
    /// Number of pods in the spec.
    pub desired: i32,
    /// Number of pods of the newest pod template.
    pub updated: i32,
    /// Number of pods that are connected to Temporal, poll the task queue, and have a revision.
    pub available: i32,
    /// `available/desired`, for printing.
    pub ready: String,
}

//! The resource AgentTool: one tool that Agents of its namespace may refer to.
//! Exactly one kind is set; the policy applies to every kind.

pub mod activity;
pub mod approval;
pub mod hosted;
pub mod http;
pub mod human;
pub mod mcp;
pub mod steps;
pub mod workflow;

pub use activity::{ActivityTool, ArgumentStyle};
pub use approval::{ApprovalPolicy, OnTimeout};
pub use hosted::HostedTool;
pub use http::{HttpExecution, HttpHeader, HttpMethod, HttpTool};
pub use human::HumanTool;
pub use mcp::{McpTool, McpToolSelection};
pub use steps::{Compensation, OnUnknownOutcome, StepAction, ToolStep};
pub use workflow::WorkflowTool;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{duration::Duration, schema};

/// A tool: its description for the model, its action, and its policy for failures.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "steadfast.dev",
    version = "v1alpha1",
    kind = "AgentTool",
    namespaced,
    status = "AgentToolStatus",
    derive = "PartialEq",
    shortname = "agtt",
    category = "steadfast",
    doc = "A tool that agents of its namespace may call.",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("an AgentTool's name is a DNS label of at most 63 characters: lower case letters, digits and '-'"),
    printcolumn(name = "Accepted", type_ = "string", json_path = r#".status.conditions[?(@.type=="Accepted")].status"#),
    printcolumn(name = "Kind", type_ = "string", json_path = ".status.kind"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Accepted")].reason"#, priority = 1)
)]
#[x_kube(validation = Rule::new("[has(self.activity), has(self.steps), has(self.http), has(self.mcp), has(self.human), has(self.workflow), has(self.hosted)].filter(x, x).size() == 1")
    .message("exactly one kind of tool must be set: activity, steps, http, mcp, human, workflow or hosted"))]
#[x_kube(validation = Rule::new("!has(self.http) || self.http.execution != 'Local' || duration(self.timeout) <= duration('5s')")
    .message("a local http tool needs a timeout of at most 5s: the workflow task waits for the request"))]
#[x_kube(validation = Rule::new("!has(self.http) || self.http.execution != 'Local' || self.idempotency != 'None'")
    .message("a local http tool needs the idempotency Key or Natural: an attempt is made again when its worker is lost"))]
#[serde(rename_all = "camelCase")]
pub struct AgentToolSpec {
    /// Description for the model: what the tool does, and when to use it.
    #[schemars(length(min = 1, max = 4096))]
    pub description: String,
    /// JSON Schema of the arguments; it must describe an object. At most 65536 bytes and 48 levels of nesting; a `$ref`
    /// is a path within the schema.
    #[serde(default = "no_parameters")]
    #[schemars(schema_with = "schema::any_object")]
    pub parameters: Map<String, Value>,
    /// A Temporal activity in any language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityTool>,
    /// Several activities or HTTP requests in order. When one fails finally, the steps before it are compensated in
    /// reverse order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.all(s, self.exists_one(t, t.name == s.name))")
        .message("each step has a name of its own"))]
    pub steps: Option<Vec<ToolStep>>,
    /// An HTTP request that the agent's worker makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTool>,
    /// The tools of a remote MCP server. `parameters` is ignored: the server describes its tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<McpTool>,
    /// A question to a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human: Option<HumanTool>,
    /// A child workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowTool>,
    /// A tool that the model's provider runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted: Option<HostedTool>,
    /// Whether a person must approve each call before it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
    /// The longest time that one attempt may take.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// How a failed attempt is retried.
    #[serde(default)]
    pub retry: ToolRetry,
    /// Why it is safe to run a call again after a failure.
    #[serde(default)]
    pub idempotency: Idempotency,
    /// The longest result in bytes. A longer result is cut, with a note to the model.
    #[serde(default = "default_max_result_bytes")]
    #[schemars(range(min = 1, max = 1_048_576), extend("format" = "int32"))]
    pub max_result_bytes: u32,
    /// What happens after the last attempt has failed.
    #[serde(default)]
    pub on_error: OnError,
}

/// The kind of a tool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ToolKind<'a> {
    /// See [`ActivityTool`].
    Activity(&'a ActivityTool),
    /// See [`ToolStep`].
    Steps(&'a [ToolStep]),
    /// See [`HttpTool`].
    Http(&'a HttpTool),
    /// See [`McpTool`].
    Mcp(&'a McpTool),
    /// See [`HumanTool`].
    Human(&'a HumanTool),
    /// See [`WorkflowTool`].
    Workflow(&'a WorkflowTool),
    /// See [`HostedTool`].
    Hosted(&'a HostedTool),
}

impl ToolKind<'_> {
    /// The name of the kind's field in the spec.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activity(_) => "activity",
            Self::Steps(_) => "steps",
            Self::Http(_) => "http",
            Self::Mcp(_) => "mcp",
            Self::Human(_) => "human",
            Self::Workflow(_) => "workflow",
            Self::Hosted(_) => "hosted",
        }
    }
}

impl AgentToolSpec {
    /// The kind that is set. `None` for an invalid object, which admission would refuse.
    #[must_use]
    pub fn kind(&self) -> Option<ToolKind<'_>> {
        let kinds = [
            self.activity.as_ref().map(ToolKind::Activity),
            self.steps.as_deref().map(ToolKind::Steps),
            self.http.as_ref().map(ToolKind::Http),
            self.mcp.as_ref().map(ToolKind::Mcp),
            self.human.as_ref().map(ToolKind::Human),
            self.workflow.as_ref().map(ToolKind::Workflow),
            self.hosted.as_ref().map(ToolKind::Hosted),
        ];
        let mut set = kinds.into_iter().flatten();
        set.next().filter(|_| set.next().is_none())
    }

    /// The approval policy, if approval is required.
    #[must_use]
    pub fn required_approval(&self) -> Option<&ApprovalPolicy> {
        self.approval.as_ref().filter(|policy| policy.required)
    }
}

/// How failed attempts of a tool are retried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.initialInterval) || !has(self.maximumInterval) || duration(self.initialInterval) <= duration(self.maximumInterval)")
    .message("initialInterval is at most maximumInterval"))]
#[serde(rename_all = "camelCase")]
pub struct ToolRetry {
    /// The most attempts, with the first one.
    #[serde(default = "default_maximum_attempts")]
    #[schemars(range(min = 1, max = 1000), extend("format" = "int32"))]
    pub maximum_attempts: u32,
    /// Pause before the second attempt.
    #[serde(default = "default_initial_interval")]
    pub initial_interval: Duration,
    /// The longest pause between two attempts.
    #[serde(default = "default_maximum_interval")]
    pub maximum_interval: Duration,
    /// The factor from one pause to the next.
    #[serde(default = "default_backoff_coefficient")]
    #[schemars(range(min = 1.0, max = 100.0))]
    pub backoff_coefficient: f64,
}

impl Default for ToolRetry {
    fn default() -> Self {
        Self {
            maximum_attempts: default_maximum_attempts(),
            initial_interval: default_initial_interval(),
            maximum_interval: default_maximum_interval(),
            backoff_coefficient: default_backoff_coefficient(),
        }
    }
}

/// Why a second run of the same call is safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Idempotency {
    /// The tool receives an idempotency key that is the same for all attempts of a call.
    #[default]
    Key,
    /// A second run is not safe: a call that may have started is never retried.
    None,
    /// The tool is idempotent by nature: two runs have the effect of one.
    Natural,
}

/// What happens after a tool has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnError {
    /// The model receives the error as the result of the tool.
    #[default]
    ReturnToModel,
    /// The turn fails.
    FailTurn,
}

/// The state of an AgentTool, written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentToolStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The kind of the tool, for example `activity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The conditions, with reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// For a tool of kind `mcp`: what its server last offered; absent until a worker has asked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<McpToolStatus>,
}

/// What an MCP server last offered, as the worker of an Agent saw it. Bounded: the first ones of many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct McpToolStatus {
    /// The Agent whose worker asked: with its credentials the server may offer other tools than with those of another.
    pub agent: String,
    /// Names of the tools on the server that can be used, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offered: Vec<String>,
    /// How many tools can be used.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000), extend("format" = "int32"))]
    pub offered_count: u32,
    /// What was wrong: selected tools that are missing, tools that are left out and why; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

fn no_parameters() -> Map<String, Value> {
    Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), json!({})),
    ])
}

const fn default_timeout() -> Duration {
    Duration::from_seconds(60)
}

const fn default_max_result_bytes() -> u32 {
    65_536
}

const fn default_maximum_attempts() -> u32 {
    3
}

const fn default_initial_interval() -> Duration {
    Duration::from_seconds(1)
}

const fn default_maximum_interval() -> Duration {
    Duration::from_seconds(60)
}

const fn default_backoff_coefficient() -> f64 {
    2.0
}

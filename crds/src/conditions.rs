//! The types and reasons of conditions.
//!
//! Every reason that a resource can have is listed here, because people and
//! alerts match on it. The operator decides which one applies.

use std::fmt;

/// The type of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The spec by itself is valid.
    Accepted,
    /// Every object that the spec refers to (tools, agents, ConfigMaps) exists and can be used.
    ReferencesResolved,
    /// Every credential exists, and every variable in use is a credential.
    CredentialsResolved,
    /// Enough workers of the newest pod template are available; for an Agent on a WorkerPool, the pool has workers.
    WorkersAvailable,
    /// All conditions above are true for the observed generation.
    Ready,
    /// Temporal has every schedule; absent for an Agent without schedules. Ready does not depend on it.
    SchedulesSynced,
    /// The newest version of the workers is the current one in Temporal, and no task is on another one; absent without
    /// `worker.rollout: Pinned`. Ready does not depend on it.
    VersionRolledOut,
    /// The MCP server of an AgentTool offers every tool that is selected; absent until a worker has asked it. Ready does
    /// not depend on it.
    ToolsOffered,
    /// The operator or the rollout is at work (kstatus: InProgress).
    Reconciling,
    /// Nothing changes until a person changes something (kstatus: Failed).
    Stalled,
}

impl ConditionType {
    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ReferencesResolved => "ReferencesResolved",
            Self::CredentialsResolved => "CredentialsResolved",
            Self::WorkersAvailable => "WorkersAvailable",
            Self::Ready => "Ready",
            Self::SchedulesSynced => "SchedulesSynced",
            Self::VersionRolledOut => "VersionRolledOut",
            Self::ToolsOffered => "ToolsOffered",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The reason of a condition; the wire name is the variant's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The wire name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

reasons! {
    /// The spec is valid.
    Valid,
    /// Every referenced object exists and can be used.
    Resolved,
    /// Enough workers are available.
    Available,
    /// All conditions are true.
    AllConditionsMet,
    /// The operator waits for something that needs no edit.
    Waiting,
    /// A person must change the resource.
    ActionRequired,

    /// The object cannot be decoded as its kind.
    Malformed,
    /// A JSON Schema (`parameters`, `human.form`, `output.schema`) is invalid or cannot be used there.
    InvalidSchema,
    /// A template (the instructions, a text of a tool) is invalid.
    InvalidTemplate,
    /// A CEL expression of a guardrail is invalid.
    InvalidExpression,
    /// A schedule has no usable cron expression, time zone or message.
    InvalidSchedule,
    /// A tool, a hook or a guardrail names an activity, a workflow or a task queue that it may not use.
    ForbiddenTarget,
    /// Approval is required of a hosted tool, which the model's provider runs without waiting.
    ApprovalImpossible,
    /// The client of the model's provider must run the hosted tool, and nobody here does.
    UnsupportedHostedTool,
    /// `worker.podTemplate` is invalid.
    InvalidPodTemplate,
    /// `worker.podTemplate` sets something of the pod that the operator sets.
    PodTemplateFieldReserved,
    /// `worker.podTemplate` names another ServiceAccount, and the operator does not allow it.
    ServiceAccountNotAllowed,
    /// Two of the tools, agents and handoffs have the same name for the model.
    DuplicateToolName,
    /// A credential sets a reserved variable.
    ReservedEnvVarName,
    /// An Agent on a WorkerPool has credentials of its own.
    CredentialsBelongToPool,
    /// The revision is larger than 1 MiB.
    RevisionTooLarge,

    /// An AgentTool that the Agent refers to does not exist.
    ToolNotFound,
    /// An AgentTool that the Agent refers to is invalid.
    ToolNotAccepted,
    /// An Agent that the Agent refers to (tool, handoff, judge) does not exist.
    AgentNotFound,
    /// An Agent that the Agent refers to cannot be decoded.
    AgentNotAccepted,
    /// No AgentReferenceGrant permits a reference to an object in another namespace.
    RefNotPermitted,
    /// The operator does not watch the namespace of a reference.
    NamespaceNotWatched,
    /// The WorkerPool of the Agent does not exist.
    WorkerPoolNotFound,
    /// The WorkerPool of the Agent cannot be decoded.
    WorkerPoolNotAccepted,
    /// The ConfigMap of the instructions does not exist.
    ConfigMapNotFound,
    /// The ConfigMap of the instructions does not have the key.
    ConfigMapKeyNotFound,

    /// A Secret of `credentials` does not exist.
    SecretNotFound,
    /// A Secret of `credentials` does not have the key.
    SecretKeyNotFound,
    /// The value in a Secret of `credentials` is empty, or no text.
    SecretValueUnusable,
    /// The model, a tool or a hook uses a variable that no credential sets.
    EnvVarNotProvided,
    /// A credential without `hosts` would go to a host that an argument of a tool can change.
    HostsRequired,

    /// The Deployment does not exist yet.
    NotDeployed,
    /// A new pod template is being rolled out.
    RollingOut,
    /// Fewer pods are available than desired.
    WorkersUnavailable,
    /// The number of replicas is zero.
    ScaledToZero,
    /// The worker image cannot be pulled.
    ImagePullFailed,
    /// A container of a worker pod cannot be started.
    ContainerNotStarted,
    /// A worker container exits soon after each start.
    CrashLoop,
    /// The API server refuses the pods, because of a quota or a policy.
    PodsNotCreated,
    /// No node can run the pods.
    Unschedulable,
    /// The progress deadline of the rollout has passed.
    RolloutStuck,
    /// An object with the same name does not belong to this Agent.
    NameTaken,

    /// Temporal has every schedule.
    Synced,
    /// Temporal cannot be reached; the operator tries again.
    TemporalUnavailable,
    /// Temporal refuses a schedule, because of its cron expression or time zone.
    ScheduleRefused,
    /// The operator of another cluster has schedules with this install id.
    InstallIdConflict,

    /// The newest version of the workers is the only one with tasks.
    RolledOut,
    /// The newest version of the workers is current, and tasks are left on an old one.
    TasksOnOldVersion,
    /// Temporal does not take in another version of workers.
    VersionLimitReached,
    /// Temporal refuses to make the newest version of the workers current; the operator tries again.
    VersionRefused,
    /// The Temporal server cannot move tasks between versions of workers.
    VersioningUnsupported,

    /// The MCP server offers every tool that is selected.
    Offered,
    /// The MCP server does not offer a tool that is selected, or not in a form that can be used.
    SelectedToolMissing,
    /// The MCP server offers tools, and none that can be used.
    NoUsableTool,
    /// The MCP server has not been listed; workers try again.
    ServerUnavailable,

    /// The Agent is being deleted; its tasks end after their running turns.
    Draining,
    /// The Agent is being deleted; its tasks have been cancelled.
    Canceling,

    /// A request to the API server failed; the operator tries again.
    ApiError,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

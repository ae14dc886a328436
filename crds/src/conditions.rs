//! The words of status: condition types and the reasons that explain them.
//!
//! Every reason that may appear in a resource is listed here, because people
//! and alerts match on it; the operator decides which one holds.

use std::fmt;

/// What a condition speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The resource by itself makes sense.
    Accepted,
    /// Everything it names (tools, agents, config maps) exists and is usable.
    ReferencesResolved,
    /// Every credential it names can be given to a worker.
    CredentialsResolved,
    /// Enough workers of the newest pod template are available.
    WorkersAvailable,
    /// All of the above, for the generation observed.
    Ready,
    /// Temporal has every schedule; absent for an Agent without any. Ready does not depend on it.
    SchedulesSynced,
    /// Work is under way (kstatus: in progress).
    Reconciling,
    /// Nothing will move until a person changes something (kstatus: failed).
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
        /// Why a condition has its value; the wire name is the variant's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason there is.
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
    /// The resource is valid.
    Valid,
    /// Everything named exists and is usable.
    Resolved,
    /// Enough workers are available.
    Available,
    /// All conditions hold.
    AllConditionsMet,
    /// Something that heals without an edit is awaited.
    Waiting,
    /// A person must change the resource.
    ActionRequired,

    /// The object cannot be read as its kind.
    Malformed,
    /// A JSON Schema (`parameters`, `human.form`, `output.schema`) is none, or not one that can be used there.
    InvalidSchema,
    /// A text that is a template (the instructions, the texts of a tool) is not a valid one.
    InvalidTemplate,
    /// A CEL expression of a guardrail cannot be read.
    InvalidExpression,
    /// A schedule lacks what it needs to run.
    InvalidSchedule,
    /// Approval is asked for a tool that runs at the model's provider, where no call can wait.
    ApprovalImpossible,
    /// `worker.podTemplate` cannot be read or would break what the operator relies on.
    InvalidPodTemplate,
    /// Two of the tools, agents and handoffs have the same name for the model.
    DuplicateToolName,
    /// A credential would set a variable of the worker's own wiring.
    ReservedEnvVarName,
    /// The resolved revision is over 1 MiB.
    RevisionTooLarge,

    /// A tool that the Agent names does not exist.
    ToolNotFound,
    /// A tool that the Agent names is not accepted.
    ToolNotAccepted,
    /// An Agent that the Agent asks, hands over to or is judged by does not exist.
    AgentNotFound,
    /// An Agent that the Agent names cannot be read.
    AgentNotAccepted,
    /// The config map of the instructions does not exist.
    ConfigMapNotFound,
    /// The config map of the instructions lacks the key.
    ConfigMapKeyNotFound,

    /// A Secret of `credentials` does not exist.
    SecretNotFound,
    /// A Secret of `credentials` lacks the key.
    SecretKeyNotFound,
    /// The model, a tool or a hook uses a variable that no credential sets.
    EnvVarNotProvided,

    /// Nothing has been deployed yet.
    NotDeployed,
    /// A new pod template is being rolled out.
    RollingOut,
    /// Fewer pods are available than asked for.
    WorkersUnavailable,
    /// Replicas were set to zero.
    ScaledToZero,
    /// The worker image cannot be pulled.
    ImagePullFailed,
    /// A container cannot be started as its pod says.
    ContainerNotStarted,
    /// Worker containers end soon after they start.
    CrashLoop,
    /// Pods are refused, by a quota or a policy.
    PodsNotCreated,
    /// No node takes the pods.
    Unschedulable,
    /// A rollout made no progress for too long.
    RolloutStuck,
    /// An object of the same name belongs to somebody else.
    NameTaken,

    /// Temporal has every schedule.
    Synced,
    /// Temporal cannot be asked about schedules; it is tried again.
    TemporalUnavailable,
    /// Temporal does not take a schedule, because of its cron expression or its time zone.
    ScheduleRefused,

    /// The API server refused or failed a request; it is tried again.
    ApiError,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

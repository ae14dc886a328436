//! What a tool, a hook or a guardrail of a user may start: no activity and no
//! workflow of Steadfast itself, and nothing on the task queue of an Agent in
//! another namespace. The operator refuses it at admission, and the workflow when
//! it runs. Pure.

use steadfast_crds::{
    agent::{Guardrails, Hook},
    agent_tool::{ActivityTool, AgentToolSpec, Compensation, StepAction, ToolKind, ToolStep, WorkflowTool},
    names::{agent_task_queue, pool_task_queue},
};

use crate::{activity_kind::ActivityKind, scheduled::DELIVER_MESSAGE_WORKFLOW_TYPE, start::WORKFLOW_TYPE};

/// Why something may not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenTarget {
    /// The activity type is one of Steadfast's own.
    #[error("the activity {0:?} is Steadfast's own; name an activity of your own worker")]
    OwnActivity(String),
    /// The workflow type is one of Steadfast's own.
    #[error("the workflow {0:?} is Steadfast's own; to ask another agent, name it with `agent` in the Agent's tools")]
    OwnWorkflow(String),
    /// The task queue belongs to an Agent in another namespace.
    #[error(
        "the task queue {queue:?} belongs to this installation; in this namespace only those that begin with \
         {allowed:?} may be named"
    )]
    ForeignQueue {
        /// The queue that is named.
        queue: String,
        /// The beginning of the namespace's own queues.
        allowed: String,
    },
    /// Temporal keeps such names for itself.
    #[error("the task queue {0:?} begins with '/', which Temporal reserves")]
    ReservedQueue(String),
}

/// The task queues of one namespace in an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceQueues {
    /// `<install>/`
    install: String,
    /// `<install>/<namespace>/`
    namespace: String,
}

impl NamespaceQueues {
    /// The queues of a namespace.
    #[must_use]
    pub fn new(install: &str, namespace: &str) -> Self {
        Self {
            install: format!("{install}/"),
            namespace: format!("{install}/{namespace}/"),
        }
    }

    /// The queues of the namespace to which the task queue of an Agent or of a WorkerPool belongs. `None` for a queue with a name of
    /// another form, which the operator does not make.
    #[must_use]
    pub fn of_agent_queue(queue: &str) -> Option<Self> {
        let parts: Vec<&str> = queue.split('/').collect();
        let [install, namespace, _, name] = parts.as_slice() else {
            return None;
        };
        let homes = [
            agent_task_queue(install, namespace, name),
            pool_task_queue(install, namespace, name),
        ];
        homes
            .iter()
            .any(|home| home == queue)
            .then(|| Self::new(install, namespace))
    }

    /// The queues of another namespace in the same installation.
    #[must_use]
    pub fn of_namespace(&self, namespace: &str) -> Self {
        Self {
            install: self.install.clone(),
            namespace: format!("{}{namespace}/", self.install),
        }
    }

    /// The queues of the namespace to which the task queue of another agent belongs; these if that is none of this
    /// installation.
    #[must_use]
    pub fn at(&self, queue: &str) -> Self {
        match Self::of_agent_queue(queue) {
            Some(other) if other.install == self.install => other,
            _ => self.clone(),
        }
    }

    fn check(&self, queue: &str) -> Result<(), ForbiddenTarget> {
        if queue.starts_with('/') {
            return Err(ForbiddenTarget::ReservedQueue(queue.to_owned()));
        }
        if queue.starts_with(&self.install) && !queue.starts_with(&self.namespace) {
            return Err(ForbiddenTarget::ForeignQueue {
                queue: queue.to_owned(),
                allowed: self.namespace.clone(),
            });
        }
        Ok(())
    }

    /// Checks an activity of a tool, of a step, of a hook or of a guardrail.
    pub fn check_activity(&self, activity: &ActivityTool) -> Result<(), ForbiddenTarget> {
        check_activity_type(activity)?;
        activity.task_queue.as_deref().map_or(Ok(()), |queue| self.check(queue))
    }

    /// Checks the workflow of a tool.
    pub fn check_workflow(&self, workflow: &WorkflowTool) -> Result<(), ForbiddenTarget> {
        check_workflow_type(workflow)?;
        self.check(&workflow.task_queue)
    }

    /// Checks everything that a tool may start.
    pub fn check_tool(&self, tool: &AgentToolSpec) -> Result<(), ForbiddenTarget> {
        check_each(
            tool,
            |activity| self.check_activity(activity),
            |workflow| self.check_workflow(workflow),
        )
    }

    /// Checks a hook.
    pub fn check_hook(&self, hook: &Hook) -> Result<(), ForbiddenTarget> {
        hook.activity
            .as_ref()
            .map_or(Ok(()), |activity| self.check_activity(activity))
    }

    /// Checks the guardrails of an Agent.
    pub fn check_guardrails(&self, guardrails: &Guardrails) -> Result<(), ForbiddenTarget> {
        let mut all = guardrails.input.iter().chain(&guardrails.output);
        all.try_for_each(|guardrail| {
            let activity = guardrail.activity.as_ref();
            activity.map_or(Ok(()), |activity| self.check_activity(activity))
        })
    }
}

/// Checks the types that a tool names, wherever it is used.
pub fn check_types(tool: &AgentToolSpec) -> Result<(), ForbiddenTarget> {
    check_each(tool, check_activity_type, check_workflow_type)
}

fn check_each(
    tool: &AgentToolSpec,
    activity: impl Fn(&ActivityTool) -> Result<(), ForbiddenTarget>,
    workflow: impl Fn(&WorkflowTool) -> Result<(), ForbiddenTarget>,
) -> Result<(), ForbiddenTarget> {
    match tool.kind() {
        Some(ToolKind::Activity(named)) => activity(named),
        Some(ToolKind::Workflow(named)) => workflow(named),
        Some(ToolKind::Steps(steps)) => {
            let forward = steps.iter().filter_map(ToolStep::action);
            let compensations = steps.iter().filter_map(|step| step.compensate.as_ref());
            let backward = compensations.filter_map(Compensation::action);
            forward.chain(backward).try_for_each(|action| match action {
                StepAction::Activity(named) => activity(named),
                StepAction::Http(_) => Ok(()),
            })
        }
        Some(ToolKind::Http(_) | ToolKind::Mcp(_) | ToolKind::Human(_) | ToolKind::Hosted(_)) | None => Ok(()),
    }
}

fn check_activity_type(activity: &ActivityTool) -> Result<(), ForbiddenTarget> {
    match ActivityKind::parse(&activity.name) {
        Some(_) => Err(ForbiddenTarget::OwnActivity(activity.name.clone())),
        None => Ok(()),
    }
}

fn check_workflow_type(workflow: &WorkflowTool) -> Result<(), ForbiddenTarget> {
    match workflow.workflow_type.as_str() {
        WORKFLOW_TYPE | DELIVER_MESSAGE_WORKFLOW_TYPE => {
            Err(ForbiddenTarget::OwnWorkflow(workflow.workflow_type.clone()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(kind: &Value) -> Result<(), ForbiddenTarget> {
        let mut spec = json!({"description": "d"});
        spec.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        NamespaceQueues::new("prod", "team-a").check_tool(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn queues_of_the_own_namespace_and_outside_of_the_installation_may_be_named() {
        for queue in [
            "weather-tools",
            "prod/team-a/agent/weather",
            "prod/team-a/tools",
            "production/team-b/agent/pay",
            "prod",
        ] {
            assert_eq!(
                check(&json!({"activity": {"name": "act", "taskQueue": queue}})),
                Ok(()),
                "{queue}"
            );
            assert_eq!(
                check(&json!({"workflow": {"type": "Flow", "taskQueue": queue}})),
                Ok(()),
                "{queue}"
            );
        }
        assert_eq!(check(&json!({"activity": {"name": "act"}})), Ok(()));
    }

    #[test]
    fn a_queue_of_another_namespace_is_refused_in_every_kind_of_tool() {
        let queue = "prod/team-b/agent/pay";
        let activity = json!({"name": "act", "taskQueue": queue});
        let own = json!({"name": "act"});
        for kind in [
            json!({"activity": activity}),
            json!({"workflow": {"type": "Flow", "taskQueue": queue}}),
            json!({"steps": [{"name": "a", "activity": activity}]}),
            json!({"steps": [{"name": "a", "activity": own, "compensate": {"activity": activity}}]}),
        ] {
            let refused = check(&kind).unwrap_err();
            assert!(
                matches!(refused, ForbiddenTarget::ForeignQueue { .. }),
                "{kind}: {refused}"
            );
        }
        assert_eq!(
            check(&json!({"activity": {"name": "act", "taskQueue": queue}}))
                .unwrap_err()
                .to_string(),
            "the task queue \"prod/team-b/agent/pay\" belongs to this installation; in this namespace only those that \
             begin with \"prod/team-a/\" may be named"
        );
        assert!(check(&json!({"activity": {"name": "act", "taskQueue": "/prod/team-b/agent/pay"}})).is_err());
        assert!(check(&json!({"activity": {"name": "act", "taskQueue": "prod/team-a2/agent/pay"}})).is_err());
    }

    #[test]
    fn steadfasts_own_activities_and_workflows_are_no_tools() {
        for kind in ActivityKind::ALL {
            let named = json!({"activity": {"name": kind.type_name()}});
            assert!(matches!(check(&named), Err(ForbiddenTarget::OwnActivity(_))));
        }
        for name in [WORKFLOW_TYPE, DELIVER_MESSAGE_WORKFLOW_TYPE] {
            let named = json!({"workflow": {"type": name, "taskQueue": "q"}});
            assert!(matches!(check(&named), Err(ForbiddenTarget::OwnWorkflow(_))));
        }
    }

    #[test]
    fn the_namespace_is_read_from_the_queue_of_an_agent_or_a_pool() {
        for queue in ["prod/team-a/agent/weather", "prod/team-a/pool/shared"] {
            let queues = NamespaceQueues::of_agent_queue(queue);
            assert_eq!(queues, Some(NamespaceQueues::new("prod", "team-a")), "{queue}");
        }
        let home = NamespaceQueues::new("prod", "team-a");
        let shop = NamespaceQueues::new("prod", "shop");
        assert_eq!(home.of_namespace("shop"), shop);
        assert_eq!(home.at("prod/shop/pool/shared"), shop);
        for elsewhere in ["q", "other/shop/agent/desk"] {
            assert_eq!(home.at(elsewhere), home, "{elsewhere}");
        }
        for other in ["q", "prod/team-a/weather", "prod/team-a/other/weather", "a/b/agent/c/d"] {
            assert_eq!(NamespaceQueues::of_agent_queue(other), None, "{other}");
        }
    }
}

//! Resolves the tools, agents, handoffs and judges of an Agent, each under the
//! name by which the model sees it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_contract::tool_targets::NamespaceQueues;
use steadfast_crds::{
    Agent, AgentToolSpec,
    agent::{AgentToolReference, Handoff},
    agent_revision::{RevisionAgent, RevisionHandoff, RevisionTool},
    agent_tool::{ApprovalPolicy, ToolKind},
    conditions::{ConditionType, Reason},
    names::{ask_function_name, function_name, home_task_queue, transfer_function_name},
};

use crate::{
    agents::{dereference::Dereferenced, summary::AgentSummary},
    kube::namespaced_name::NamespacedName,
    settings::Settings,
    tools::validate,
    validation::ValidationError,
};

/// The references that were resolved.
#[derive(Debug, Default)]
pub(super) struct References {
    /// The tools, with the Agent's approval policy merged into their own.
    pub(super) tools: Vec<RevisionTool>,
    /// The agents that are tools.
    pub(super) agents: Vec<RevisionAgent>,
    /// The agents that may take over the conversation.
    pub(super) handoffs: Vec<RevisionHandoff>,
    /// The task queues of the agents that judge in guardrails, by agent.
    pub(super) judges: BTreeMap<String, String>,
}

/// Resolves the references, and adds an error for each one that cannot be resolved.
pub(super) fn check(
    agent: &Agent,
    key: &NamespacedName,
    dereferenced: &Dereferenced,
    settings: &Settings,
    errors: &mut Vec<ValidationError>,
) -> References {
    let mut resolver = Resolver {
        dereferenced,
        settings,
        namespace: &key.namespace,
        queues: NamespaceQueues::new(&settings.install_id, &key.namespace),
        names: BTreeMap::new(),
        reported: BTreeSet::new(),
        errors,
        resolved: References::default(),
    };
    for reference in &agent.spec.tools {
        match (&reference.tool, &reference.agent) {
            (Some(tool), None) => resolver.tool(tool, reference.approval.as_ref()),
            (None, Some(other)) => resolver.agent_tool(other, reference),
            _ => resolver.error(
                ConditionType::Accepted,
                Reason::Malformed,
                "an entry of tools has exactly one of tool and agent".to_owned(),
            ),
        }
    }
    for handoff in &agent.spec.handoffs {
        resolver.handoff(handoff);
    }
    let guardrails = &agent.spec.guardrails;
    for judge in guardrails.input.iter().chain(&guardrails.output) {
        if let Some(other) = &judge.agent {
            resolver.judge(other);
        }
    }
    resolver.resolved
}

struct Resolver<'a> {
    dereferenced: &'a Dereferenced,
    settings: &'a Settings,
    namespace: &'a str,
    queues: NamespaceQueues,
    /// The names that the model sees, with the reference that has each.
    names: BTreeMap<String, String>,
    /// The agents whose error was added already.
    reported: BTreeSet<String>,
    errors: &'a mut Vec<ValidationError>,
    resolved: References,
}

impl Resolver<'_> {
    fn error(&mut self, condition: ConditionType, reason: Reason, message: String) {
        self.errors.push(ValidationError::new(condition, reason, message));
    }

    fn unresolved(&mut self, reason: Reason, message: String) {
        self.error(ConditionType::ReferencesResolved, reason, message);
    }

    fn tool(&mut self, resource: &str, approval: Option<&ApprovalPolicy>) {
        let dereferenced = self.dereferenced;
        let Some(guarded) = dereferenced.tools.get(resource).and_then(Option::as_ref) else {
            self.unresolved(Reason::ToolNotFound, format!("AgentTool \"{resource}\" does not exist"));
            return;
        };
        let name = function_name(resource);
        if !self.claim(&name, format!("tool \"{resource}\"")) {
            return;
        }
        let spec = match &guarded.0 {
            Ok(tool) => &tool.spec,
            Err(invalid) => {
                let message = format!("AgentTool \"{resource}\" cannot be decoded: {invalid}");
                self.unresolved(Reason::ToolNotAccepted, message);
                return;
            }
        };
        if let Err(error) = validate::check(spec, &self.queues) {
            let message = format!("AgentTool \"{resource}\" is not accepted: {}", error.message);
            self.unresolved(Reason::ToolNotAccepted, message);
            return;
        }
        let spec = tightened(spec, approval);
        if let Err(error) = validate::check_approval(&spec) {
            let message = format!("tools[{resource}]: {}", error.message);
            self.error(ConditionType::Accepted, error.reason, message);
            return;
        }
        for visible in server_names(&spec) {
            if !self.claim(&visible, format!("a tool of \"{resource}\"")) {
                return;
            }
        }
        self.resolved.tools.push(RevisionTool { name, spec });
    }

    fn agent_tool(&mut self, other: &str, reference: &AgentToolReference) {
        let name = reference.name.clone().unwrap_or_else(|| ask_function_name(other));
        let free = self.claim(&name, format!("agent \"{other}\""));
        let Some(description) = self.description(other, "tools") else {
            return;
        };
        if free {
            let task_queue = self.task_queue(other);
            self.resolved.agents.push(RevisionAgent {
                name,
                agent: other.to_owned(),
                description: reference.description.clone().unwrap_or(description),
                task_queue,
                approval: reference.approval.clone(),
            });
        }
    }

    fn handoff(&mut self, handoff: &Handoff) {
        let name = transfer_function_name(&handoff.agent);
        let free = self.claim(&name, format!("handoff to \"{}\"", handoff.agent));
        let Some(description) = self.description(&handoff.agent, "handoffs") else {
            return;
        };
        if free {
            let task_queue = self.task_queue(&handoff.agent);
            self.resolved.handoffs.push(RevisionHandoff {
                name,
                agent: handoff.agent.clone(),
                description: handoff.description.clone().unwrap_or(description),
                task_queue,
                input: handoff.input,
            });
        }
    }

    fn judge(&mut self, other: &str) {
        if self.description(other, "guardrails").is_some() {
            let task_queue = self.task_queue(other);
            self.resolved.judges.insert(other.to_owned(), task_queue);
        }
    }

    /// The description of another Agent; adds an error if the Agent does not exist or cannot be decoded.
    fn description(&mut self, other: &str, field: &str) -> Option<String> {
        let (reason, message) = match self.dereferenced.agents.get(other) {
            Some(AgentSummary::Valid(agent)) => return Some(agent.description.clone()),
            Some(AgentSummary::Invalid(reason)) => (
                Reason::AgentNotAccepted,
                format!("Agent \"{other}\" of {field} cannot be decoded: {reason}"),
            ),
            Some(AgentSummary::Missing) | None => (
                Reason::AgentNotFound,
                format!(
                    "Agent \"{other}\" of {field} does not exist in namespace \"{}\"",
                    self.namespace
                ),
            ),
        };
        if self.reported.insert(other.to_owned()) {
            self.unresolved(reason, message);
        }
        None
    }

    /// Gives a name to `owner`; adds an error if another reference has it.
    fn claim(&mut self, name: &str, owner: String) -> bool {
        if let Some(other) = self.names.get(name) {
            let message = format!("{other} and {owner} would both have the name \"{name}\" for the model");
            self.error(ConditionType::Accepted, Reason::DuplicateToolName, message);
            return false;
        }
        self.names.insert(name.to_owned(), owner);
        true
    }

    fn task_queue(&self, other: &str) -> String {
        let pool = self.dereferenced.agents.get(other).and_then(AgentSummary::pool);
        home_task_queue(
            &self.settings.install_id,
            self.namespace,
            other,
            pool.map(String::as_str),
        )
    }
}

fn tightened(spec: &AgentToolSpec, approval: Option<&ApprovalPolicy>) -> AgentToolSpec {
    let mut spec = spec.clone();
    if let Some(approval) = approval {
        let own = spec.approval.unwrap_or_default();
        spec.approval = Some(own.tightened_by(approval));
    }
    spec
}

/// The names of an MCP server's tools that the spec selects; the worker learns the others from the server.
fn server_names(spec: &AgentToolSpec) -> Vec<String> {
    let Some(ToolKind::Mcp(mcp)) = spec.kind() else {
        return vec![];
    };
    let name =
        |renamed: &Option<String>, name: &str| renamed.clone().unwrap_or_else(|| format!("{}{name}", mcp.prefix));
    mcp.tools.iter().map(|tool| name(&tool.rename, &tool.name)).collect()
}

//! Resolves the tools, agents, handoffs and judges of an Agent, each under the
//! name by which the model sees it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_contract::tool_targets::NamespaceQueues;
use steadfast_crds::{
    Agent, AgentToolSpec,
    agent::{AgentToolReference, Handoff},
    agent_reference_grant::ReferentKind,
    agent_revision::{ForeignTool, RevisionAgent, RevisionHandoff, RevisionTool},
    agent_tool::{ApprovalPolicy, ToolKind},
    conditions::{ConditionType, Reason},
    names::{ask_function_name, function_name, home_task_queue, qualified_name, transfer_function_name},
};

use crate::{
    agents::{dereference::Dereferenced, grants::Refusal, summary::AgentSummary},
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
    /// The task queues of the agents that judge in guardrails, by [`qualified_name`].
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
        names: BTreeMap::new(),
        reported: BTreeSet::new(),
        errors,
        resolved: References::default(),
    };
    for reference in &agent.spec.tools {
        match (&reference.tool, &reference.agent) {
            (Some(tool), None) => {
                let tool = resolver.key(reference.namespace.as_deref(), tool);
                resolver.tool(&tool, reference.approval.as_ref());
            }
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
            resolver.judge(judge.namespace.as_deref(), other);
        }
    }
    resolver.resolved
}

struct Resolver<'a> {
    dereferenced: &'a Dereferenced,
    settings: &'a Settings,
    namespace: &'a str,
    /// The names that the model sees, with the reference that has each.
    names: BTreeMap<String, String>,
    /// The agents whose error was added already.
    reported: BTreeSet<NamespacedName>,
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

    fn key(&self, namespace: Option<&str>, name: &str) -> NamespacedName {
        NamespacedName::new(namespace.unwrap_or(self.namespace), name)
    }

    /// The namespace of an object, if it is another one.
    fn foreign(&self, key: &NamespacedName) -> Option<String> {
        (key.namespace != self.namespace).then(|| key.namespace.clone())
    }

    /// The name of an object for people.
    fn shown(&self, key: &NamespacedName) -> String {
        self.foreign(key).map_or_else(|| key.name.clone(), |_| key.to_string())
    }

    /// The message says what to do, and never whether the object exists.
    fn refused(&mut self, refusal: Refusal, kind: ReferentKind, key: &NamespacedName) {
        let NamespacedName { namespace, name } = key;
        let (kind, own) = (kind.as_str(), self.namespace);
        let (reason, message) = match refusal {
            Refusal::NotPermitted => (
                Reason::RefNotPermitted,
                format!(
                    "{kind} \"{key}\": namespace \"{namespace}\" needs an AgentReferenceGrant with \
                     from {{kind: Agent, namespace: {own}}} and to {{kind: {kind}, name: {name}}}"
                ),
            ),
            Refusal::NotWatched => (
                Reason::NamespaceNotWatched,
                format!("{kind} \"{key}\": the operator does not watch namespace \"{namespace}\""),
            ),
        };
        self.unresolved(reason, message);
    }

    fn tool(&mut self, key: &NamespacedName, approval: Option<&ApprovalPolicy>) {
        let dereferenced = self.dereferenced;
        let resource = self.shown(key);
        let found = match dereferenced.tools.get(key) {
            Some(Err(refusal)) => return self.refused(*refusal, ReferentKind::AgentTool, key),
            Some(Ok(found)) => found.as_ref(),
            None => None,
        };
        let Some(guarded) = found else {
            self.unresolved(Reason::ToolNotFound, format!("AgentTool \"{resource}\" does not exist"));
            return;
        };
        let name = function_name(&key.name);
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
        // The task queues that a tool may name are those of its own namespace: its author has no others.
        let queues = NamespaceQueues::new(&self.settings.install_id, &key.namespace);
        if let Err(error) = validate::check(spec, &queues) {
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
        let from = self.foreign(key).map(|namespace| ForeignTool {
            namespace,
            name: key.name.clone(),
        });
        self.resolved.tools.push(RevisionTool { name, from, spec });
    }

    fn agent_tool(&mut self, other: &str, reference: &AgentToolReference) {
        let key = self.key(reference.namespace.as_deref(), other);
        let name = reference.name.clone().unwrap_or_else(|| ask_function_name(other));
        let free = self.claim(&name, format!("agent \"{}\"", self.shown(&key)));
        let Some(description) = self.description(&key, "tools") else {
            return;
        };
        if free {
            let revision = RevisionAgent {
                name,
                agent: other.to_owned(),
                namespace: self.foreign(&key),
                description: reference.description.clone().unwrap_or(description),
                task_queue: self.task_queue(&key),
                approval: reference.approval.clone(),
            };
            self.resolved.agents.push(revision);
        }
    }

    fn handoff(&mut self, handoff: &Handoff) {
        let key = self.key(handoff.namespace.as_deref(), &handoff.agent);
        let name = transfer_function_name(&handoff.agent);
        let free = self.claim(&name, format!("handoff to \"{}\"", self.shown(&key)));
        let Some(description) = self.description(&key, "handoffs") else {
            return;
        };
        if free {
            let revision = RevisionHandoff {
                name,
                agent: handoff.agent.clone(),
                namespace: self.foreign(&key),
                description: handoff.description.clone().unwrap_or(description),
                task_queue: self.task_queue(&key),
                input: handoff.input,
            };
            self.resolved.handoffs.push(revision);
        }
    }

    fn judge(&mut self, namespace: Option<&str>, other: &str) {
        let key = self.key(namespace, other);
        if self.description(&key, "guardrails").is_some() {
            // As the guardrail names it.
            let name = qualified_name(namespace, other);
            let task_queue = self.task_queue(&key);
            self.resolved.judges.insert(name, task_queue);
        }
    }

    /// The description of another Agent; adds an error if it may not be referred to, does not exist or cannot be decoded.
    fn description(&mut self, key: &NamespacedName, field: &str) -> Option<String> {
        let dereferenced = self.dereferenced;
        let (reason, message) = match dereferenced.agents.get(key) {
            Some(Ok(AgentSummary::Valid(agent))) => return Some(agent.description.clone()),
            Some(Err(refusal)) => {
                if self.reported.insert(key.clone()) {
                    self.refused(*refusal, ReferentKind::Agent, key);
                }
                return None;
            }
            Some(Ok(AgentSummary::Invalid(reason))) => (
                Reason::AgentNotAccepted,
                format!("Agent \"{}\" of {field} cannot be decoded: {reason}", self.shown(key)),
            ),
            Some(Ok(AgentSummary::Missing)) | None => (
                Reason::AgentNotFound,
                format!(
                    "Agent \"{}\" of {field} does not exist in namespace \"{}\"",
                    key.name, key.namespace
                ),
            ),
        };
        if self.reported.insert(key.clone()) {
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

    fn task_queue(&self, key: &NamespacedName) -> String {
        let summary = self.dereferenced.agents.get(key).and_then(|found| found.as_ref().ok());
        let pool = summary.and_then(AgentSummary::pool).map(String::as_str);
        home_task_queue(&self.settings.install_id, &key.namespace, &key.name, pool)
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

//! What the model may call and who may take over or judge: each reference of
//! the Agent resolved, under the name the model sees it by. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use steadfast_crds::{
    Agent, AgentToolSpec,
    agent::{AgentToolReference, Handoff},
    agent_revision::{RevisionAgent, RevisionHandoff, RevisionTool},
    agent_tool::{ApprovalPolicy, ToolKind},
    conditions::{ConditionType, Reason},
    names::{agent_task_queue, ask_function_name, function_name, transfer_function_name},
};

use crate::{
    agent_controller::{dereference::Found, introduction::Introduction},
    conditions::Problem,
    settings::Settings,
    tool_rules,
};

/// Everything that was resolved.
#[derive(Debug, Default)]
pub struct References {
    /// Tools, as they stand, with the Agent's own policy laid over theirs.
    pub tools: Vec<RevisionTool>,
    /// Agents that are asked.
    pub agents: Vec<RevisionAgent>,
    /// Agents that may take over.
    pub handoffs: Vec<RevisionHandoff>,
    /// Task queues of the agents that judge.
    pub judges: BTreeMap<String, String>,
}

/// Resolves what it can and tells of the rest.
pub fn check(agent: &Agent, found: &Found, settings: &Settings, problems: &mut Vec<Problem>) -> References {
    let mut resolver = Resolver {
        found,
        settings,
        namespace: agent.namespace().unwrap_or_default(),
        names: BTreeMap::new(),
        told: BTreeSet::new(),
        problems,
        resolved: References::default(),
    };
    for reference in &agent.spec.tools {
        match (&reference.tool, &reference.agent) {
            (Some(tool), None) => resolver.tool(tool, reference.approval.as_ref()),
            (None, Some(other)) => resolver.asked(other, reference),
            _ => resolver.problem(
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
    found: &'a Found,
    settings: &'a Settings,
    namespace: String,
    /// Names the model sees, and what has them.
    names: BTreeMap<String, String>,
    /// Agents that are missing and were told of.
    told: BTreeSet<String>,
    problems: &'a mut Vec<Problem>,
    resolved: References,
}

impl Resolver<'_> {
    fn problem(&mut self, condition: ConditionType, reason: Reason, message: String) {
        self.problems.push(Problem::new(condition, reason, message));
    }

    fn unresolved(&mut self, reason: Reason, message: String) {
        self.problem(ConditionType::ReferencesResolved, reason, message);
    }

    fn tool(&mut self, resource: &str, approval: Option<&ApprovalPolicy>) {
        let found = self.found;
        let Some(guarded) = found.tools.get(resource).and_then(Option::as_ref) else {
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
                let message = format!("AgentTool \"{resource}\" cannot be read: {invalid}");
                self.unresolved(Reason::ToolNotAccepted, message);
                return;
            }
        };
        if let Err(defect) = tool_rules::check(spec) {
            let message = format!("AgentTool \"{resource}\" is not accepted: {}", defect.message);
            self.unresolved(Reason::ToolNotAccepted, message);
            return;
        }
        let spec = tightened(spec, approval);
        if let Err(defect) = tool_rules::check_approval(&spec) {
            let message = format!("tools: of \"{resource}\", {}", defect.message);
            self.problem(ConditionType::Accepted, defect.reason, message);
            return;
        }
        for visible in server_names(&spec) {
            if !self.claim(&visible, format!("a tool of \"{resource}\"")) {
                return;
            }
        }
        self.resolved.tools.push(RevisionTool { name, spec });
    }

    fn asked(&mut self, other: &str, reference: &AgentToolReference) {
        let name = reference.name.clone().unwrap_or_else(|| ask_function_name(other));
        let free = self.claim(&name, format!("agent \"{other}\""));
        let Some(introduced) = self.introduction(other, "tools") else {
            return;
        };
        if free {
            let task_queue = self.task_queue(other);
            self.resolved.agents.push(RevisionAgent {
                name,
                agent: other.to_owned(),
                description: reference.description.clone().unwrap_or(introduced),
                task_queue,
                approval: reference.approval.clone(),
            });
        }
    }

    fn handoff(&mut self, handoff: &Handoff) {
        let name = transfer_function_name(&handoff.agent);
        let free = self.claim(&name, format!("handoff to \"{}\"", handoff.agent));
        let Some(introduced) = self.introduction(&handoff.agent, "handoffs") else {
            return;
        };
        if free {
            let task_queue = self.task_queue(&handoff.agent);
            self.resolved.handoffs.push(RevisionHandoff {
                name,
                agent: handoff.agent.clone(),
                description: handoff.description.clone().unwrap_or(introduced),
                task_queue,
                input: handoff.input,
            });
        }
    }

    fn judge(&mut self, other: &str) {
        if self.introduction(other, "guardrails").is_some() {
            let task_queue = self.task_queue(other);
            self.resolved.judges.insert(other.to_owned(), task_queue);
        }
    }

    /// The description of another Agent, if there is one that can be read.
    fn introduction(&mut self, other: &str, field: &str) -> Option<String> {
        let (reason, message) = match self.found.agents.get(other) {
            Some(Introduction::Known(description)) => return Some(description.clone()),
            Some(Introduction::Unreadable(why)) => (
                Reason::AgentNotAccepted,
                format!("Agent \"{other}\" of {field} cannot be read: {why}"),
            ),
            Some(Introduction::Missing) | None => (
                Reason::AgentNotFound,
                format!(
                    "Agent \"{other}\" of {field} does not exist in namespace \"{}\"",
                    self.namespace
                ),
            ),
        };
        if self.told.insert(other.to_owned()) {
            self.unresolved(reason, message);
        }
        None
    }

    /// Gives a name to `owner`, unless something else has it.
    fn claim(&mut self, name: &str, owner: String) -> bool {
        if let Some(other) = self.names.get(name) {
            let message = format!("{other} and {owner} would both be \"{name}\" to the model");
            self.problem(ConditionType::Accepted, Reason::DuplicateToolName, message);
            return false;
        }
        self.names.insert(name.to_owned(), owner);
        true
    }

    fn task_queue(&self, other: &str) -> String {
        agent_task_queue(&self.settings.install_id, &self.namespace, other)
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

/// Names of an MCP server's tools, as far as the Agent's author chose them; the worker learns of the others.
fn server_names(spec: &AgentToolSpec) -> Vec<String> {
    let Some(ToolKind::Mcp(mcp)) = spec.kind() else {
        return vec![];
    };
    let name =
        |renamed: &Option<String>, name: &str| renamed.clone().unwrap_or_else(|| format!("{}{name}", mcp.prefix));
    mcp.tools.iter().map(|tool| name(&tool.rename, &tool.name)).collect()
}

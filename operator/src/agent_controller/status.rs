//! What an Agent's status says, and writing it: built whole, compared once,
//! written once. Success, waiting and failure all end here.

use std::sync::Arc;

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::Timestamp,
};
use kube::{Api, ResourceExt as _};
use steadfast_crds::{
    Agent, AgentStatus,
    conditions::{ConditionType, Reason},
    names::CREDENTIALS_HASH_ANNOTATION,
};

use crate::{
    agent_controller::{
        Error,
        apply::Applied,
        context::Context,
        validate::task_queue,
        workers::{self, Assessment, Progress},
    },
    cache::ObjectKey,
    conditions::{Finding, Problem, Verdict, find, merge, shorten},
    settings::Settings,
    status_patch::{self, Target, Written},
};

/// Largest status as JSON.
pub const MAXIMUM_STATUS_BYTES: usize = 4096;
/// Length of messages in a status that would otherwise be too large.
const SHORT_MESSAGE_BYTES: usize = 64;

/// What a reconciliation that went through has to tell.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What stands in the way.
    pub problems: Vec<Problem>,
    /// What there is now.
    pub applied: Applied,
    /// How far Temporal is with the schedules; none without any.
    pub schedules: Option<Finding>,
}

/// Writes the status if it differs; the new one if it was written.
pub async fn write(
    context: &Context,
    agent: &Agent,
    result: &Result<Outcome, Error>,
) -> Result<Option<AgentStatus>, kube::Error> {
    let now = Timestamp::now();
    let status = match result {
        Ok(outcome) => {
            let pods = context.caches.pods.of_agent(&ObjectKey::of(agent));
            build(agent, outcome, &pods, &context.settings, now)
        }
        Err(error) => build_failed(agent, error, now),
    };
    if agent.status.as_ref() == Some(&status) {
        return Ok(None);
    }
    let api: Api<Agent> = Api::namespaced(context.client.clone(), &agent.namespace().unwrap_or_default());
    match status_patch::write(&api, Target::new::<Agent>(&agent.metadata), &status).await? {
        Written::Stored => Ok(Some(status)),
        Written::ObjectGone => Ok(None),
    }
}

/// The status after a reconciliation that went through.
#[must_use]
pub fn build(agent: &Agent, outcome: &Outcome, pods: &[Arc<Pod>], settings: &Settings, now: Timestamp) -> AgentStatus {
    let previous = agent.status.clone().unwrap_or_default();
    let Applied {
        revision,
        deployment,
        refusal,
        ..
    } = &outcome.applied;
    let problems: Vec<Problem> = outcome.problems.iter().chain(refusal).cloned().collect();
    let assessment = workers::assess(deployment.as_deref(), pods);
    let mut findings = findings(&problems, &assessment);
    findings.extend(outcome.schedules.clone());
    bounded(AgentStatus {
        observed_generation: agent.metadata.generation,
        revision: (*revision).max(previous.revision),
        task_queue: Some(task_queue(agent, settings)),
        tools: i32::try_from(agent.spec.tools.len()).ok(),
        workers: assessment.counts,
        credentials_hash: deployment.as_deref().and_then(credentials_hash),
        conditions: merge(&previous.conditions, findings, agent.metadata.generation, now),
    })
}

/// The status after a reconciliation that will be tried again. Workers that
/// run go on running: an Agent that was Ready stays so.
#[must_use]
pub fn build_failed(agent: &Agent, error: &Error, now: Timestamp) -> AgentStatus {
    let mut status = agent.status.clone().unwrap_or_default();
    let message = chain(error);
    let generation = agent.metadata.generation;
    let was_ready = status.observed_generation == generation
        && find(&status.conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "True");
    let mut findings = vec![Finding::holds(
        ConditionType::Reconciling,
        Reason::ApiError,
        message.clone(),
    )];
    if !was_ready {
        findings.push(Finding::fails(ConditionType::Ready, Reason::ApiError, message));
    }
    let fresh = merge(&status.conditions, findings, generation, now);
    let replaced = |old: &Condition| {
        old.type_ == ConditionType::Stalled.as_str() || fresh.iter().any(|new| new.type_ == old.type_)
    };
    status.conditions.retain(|old| !replaced(old));
    status.conditions.extend(fresh);
    bounded(status)
}

fn findings(problems: &[Problem], assessment: &Assessment) -> Vec<Finding> {
    let mut findings = vec![
        Finding::from_problems(ConditionType::Accepted, problems, (Reason::Valid, "the spec is valid")),
        Finding::from_problems(
            ConditionType::ReferencesResolved,
            problems,
            (Reason::Resolved, "everything the spec refers to was found"),
        ),
        Finding::from_problems(
            ConditionType::CredentialsResolved,
            problems,
            (Reason::Resolved, "every credential was found"),
        ),
        workers_finding(problems, assessment),
    ];
    let ready = ready(&findings);
    let unfinished = ready.verdict == Verdict::False;
    let stalled = !problems.is_empty() || assessment.progress == Progress::Stuck;
    findings.push(ready.clone());
    if unfinished && stalled {
        findings.push(Finding::holds(
            ConditionType::Stalled,
            ready.reason,
            "somebody has to act; see condition Ready",
        ));
    } else if unfinished {
        findings.push(Finding::holds(
            ConditionType::Reconciling,
            ready.reason,
            "under way; see condition Ready",
        ));
    }
    findings
}

fn workers_finding(problems: &[Problem], assessment: &Assessment) -> Finding {
    if problems.iter().any(|p| p.condition == ConditionType::WorkersAvailable) {
        Finding::from_problems(ConditionType::WorkersAvailable, problems, (Reason::Available, ""))
    } else {
        assessment.finding.clone()
    }
}

/// The summary: the first condition that does not hold tells why.
fn ready(findings: &[Finding]) -> Finding {
    if let Some(first) = findings.iter().find(|finding| finding.verdict == Verdict::False) {
        return Finding::fails(ConditionType::Ready, first.reason, first.message.clone());
    }
    match findings.iter().find(|finding| finding.reason == Reason::ScaledToZero) {
        Some(zero) => Finding::holds(ConditionType::Ready, zero.reason, "no worker runs: replicas is 0"),
        None => Finding::holds(
            ConditionType::Ready,
            Reason::AllConditionsMet,
            "the agent can be talked to",
        ),
    }
}

fn credentials_hash(deployment: &Deployment) -> Option<String> {
    let template = deployment.spec.as_ref()?.template.metadata.as_ref()?;
    template.annotations.as_ref()?.get(CREDENTIALS_HASH_ANNOTATION).cloned()
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn bounded(mut status: AgentStatus) -> AgentStatus {
    let bytes = serde_json::to_vec(&status).map_or(0, |json| json.len());
    if bytes > MAXIMUM_STATUS_BYTES {
        for condition in &mut status.conditions {
            condition.message = shorten(std::mem::take(&mut condition.message), SHORT_MESSAGE_BYTES);
        }
    }
    status
}

#[cfg(test)]
mod tests;

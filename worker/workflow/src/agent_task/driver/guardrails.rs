//! Runs the guardrails of a turn, on its input and its output. A guardrail that trips, or that cannot
//! be evaluated, ends the turn.

use serde::Deserialize as _;
use serde_json::{Value, json};
use steadfast_agent_loop::{Body, Failure, Input, Segment, SegmentRef, StepId};
use steadfast_contract::{
    activities::{CelCheck, GuardrailResult, Revision},
    queries::Phase,
};
use steadfast_crds::{agent::Guardrail, agent_tool::ActivityTool, names::qualified_name};
use steadfast_events::{EventKind, GuardrailStage};
use steadfast_payload::{Packed, foreign_result};
use steadfast_projection::text_of_items;
use temporalio_workflow::{
    WorkflowCancellationToken, WorkflowTermination, common::UntypedActivity, workflows::join_all,
};

use super::{
    Context,
    child_workflow::{AskedAgent, ask_agent},
    commands, now, own_queues, protocol_error, read, record, stopped, turn_scope, update,
};
use crate::{activities::CheckCel, activity_options, arguments::object_arguments, failure::CallError, task::Task};

/// Category of a turn that a guardrail has stopped.
const GUARDRAIL_TRIPPED: &str = "guardrail_tripped";
/// Longest reason of a guardrail; it goes to the log and into the failure of the turn.
const REASON_LIMIT_BYTES: usize = 2_000;
/// Category of a turn whose guardrail could not be evaluated.
const GUARDRAIL_FAILED: &str = "guardrail_failed";

/// Checks the person's message.
pub(super) async fn check_input(ctx: &Context, id: StepId) -> Result<(), WorkflowTermination> {
    let subject = read(ctx, |task| {
        task.state
            .transcript
            .segments()
            .rev()
            .find_map(|segment| match &segment.body {
                Body::User { content, .. } => Some((segment.reference(), content.to_text())),
                _ => None,
            })
    });
    let Some((reference, text)) = subject else {
        return protocol_error("a check of a message that is not there");
    };
    let input = match check(ctx, id, GuardrailStage::Input, reference, &text).await {
        Ok(()) => Input::InputPassed,
        Err(failure) => Input::Failed(failure),
    };
    update(ctx, |task| record(task, input))
}

/// Checks the final answer, whose text people have not seen yet.
pub(super) async fn check_output(ctx: &Context, id: StepId) -> Result<(), WorkflowTermination> {
    let answer = read(ctx, |task| {
        let reference = SegmentRef::Model(id.turn, id.step);
        let found = task
            .state
            .transcript
            .segments()
            .rev()
            .find(|segment| segment.reference() == reference);
        found.cloned()
    });
    let Some(answer) = answer else {
        return protocol_error("a check of an answer that is not there");
    };
    let text = match &answer.body {
        Body::Model { items, .. } => text_of_items(items),
        _ => String::new(),
    };
    let checked = check(ctx, id, GuardrailStage::Output, answer.reference(), &text).await;
    let now = now(ctx);
    update(ctx, |task| match checked {
        Ok(()) => {
            task.publish(&answer);
            record(task, Input::OutputPassed)
        }
        Err(failure) => {
            withhold(task, &answer, now);
            record(task, Input::Failed(failure))
        }
    })
}

/// Withholds the answer: people do not see it, and the model is told not to repeat it.
fn withhold(task: &mut Task, answer: &Segment, now: jiff::Timestamp) {
    task.retract(answer, now);
    let note = "Your last answer was withheld by a guardrail and not shown. Do not repeat it.";
    task.append_segment(Segment {
        turn: answer.turn,
        step: answer.step,
        at: now,
        body: Body::Note { text: note.to_owned() },
    });
}

/// The guardrails of one stage of a turn, and the text that they check.
struct Check<'a> {
    ctx: &'a Context,
    id: StepId,
    stage: GuardrailStage,
    text: &'a str,
    revision: &'a Revision,
    token: &'a WorkflowCancellationToken,
}

async fn check(
    ctx: &Context,
    id: StepId,
    stage: GuardrailStage,
    subject: SegmentRef,
    text: &str,
) -> Result<(), Failure> {
    let Some((token, revision)) = turn_scope(ctx) else {
        return Err(guardrail_failed("a check outside of a turn"));
    };
    update(ctx, |task| {
        task.local.phase = Phase::Checking;
        // Guardrails may take long: the outbox must not wait for them.
        task.local.piggyback_pending = false;
    });
    ctx.set_current_details(format!("turn {}: runs guardrails", id.turn));
    let check = Check {
        ctx,
        id,
        stage,
        text,
        revision: &revision,
        token: &token,
    };
    let guardrails = match stage {
        GuardrailStage::Input => &revision.spec.guardrails.input,
        GuardrailStage::Output => &revision.spec.guardrails.output,
    };
    // CEL expressions take milliseconds: the others run only when none of these trips.
    check.conclude(check.evaluate_cel(guardrails, subject).await)?;
    let slow = guardrails
        .iter()
        .enumerate()
        .filter(|(_, guardrail)| guardrail.cel.is_none());
    let results = join_all(slow.map(|(index, guardrail)| check.run(index, guardrail))).await;
    check.conclude(results.into_iter().collect())
}

impl Check<'_> {
    /// Passes unless the turn was stopped, a guardrail could not be evaluated, or one has tripped.
    fn conclude(&self, results: Result<Vec<GuardrailResult>, String>) -> Result<(), Failure> {
        if self.token.is_cancelled() {
            return Err(stopped(self.ctx));
        }
        let results = results.map_err(|reason| guardrail_failed(&reason))?;
        let Some(tripped) = results.into_iter().find(|result| result.tripped) else {
            return Ok(());
        };
        let now = now(self.ctx);
        let GuardrailResult { name, mut reason, .. } = tripped;
        reason.truncate(reason.floor_char_boundary(REASON_LIMIT_BYTES));
        update(self.ctx, |task| {
            let tripped = EventKind::GuardrailTripped {
                name: name.clone(),
                stage: self.stage,
                reason: reason.clone(),
            };
            task.emit(self.id.turn, now, tripped);
        });
        let because = if reason.is_empty() {
            String::new()
        } else {
            format!(": {reason}")
        };
        Err(Failure::Error {
            category: GUARDRAIL_TRIPPED.to_owned(),
            message: format!("the guardrail {name:?} stopped the turn{because}"),
        })
    }

    async fn evaluate_cel(
        &self,
        guardrails: &[Guardrail],
        subject: SegmentRef,
    ) -> Result<Vec<GuardrailResult>, String> {
        let checks: Vec<(String, String)> = guardrails
            .iter()
            .filter_map(|guardrail| Some((guardrail.name.clone(), guardrail.cel.clone()?)))
            .collect();
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        let request = CelCheck {
            stage: self.stage,
            agent: self.revision.spec.agent.clone(),
            checks,
            subject,
        };
        let evaluated = self.ctx.execute_local_activity(
            CheckCel,
            Packed(request),
            activity_options::check_cel(self.token.clone()),
        );
        match evaluated.await {
            Ok(Packed(results)) => Ok(results),
            Err(error) => Err(CallError::from(error).describe().1),
        }
    }

    /// Runs a guardrail that is an agent or an activity.
    async fn run(&self, index: usize, guardrail: &Guardrail) -> Result<GuardrailResult, String> {
        let answer = if let Some(agent) = &guardrail.agent {
            self.ask_judge(index, guardrail, agent).await
        } else if let Some(activity) = &guardrail.activity {
            self.call_activity(guardrail, activity).await
        } else {
            Err("it has no kind".to_owned())
        };
        let result = answer.and_then(|answer| {
            GuardrailResult::deserialize(&answer)
                .map_err(|error| format!("its answer {} is not a guardrail result: {error}", bounded(&answer)))
        });
        match result {
            Ok(result) => Ok(GuardrailResult {
                name: guardrail.name.clone(),
                ..result
            }),
            Err(reason) => Err(format!(
                "the guardrail {:?} could not be checked: {reason}",
                guardrail.name
            )),
        }
    }

    async fn ask_judge(&self, index: usize, guardrail: &Guardrail, agent: &str) -> Result<Value, String> {
        let namespace = guardrail.namespace.as_deref();
        let judges = &self.revision.spec.judges;
        let task_queue = judges
            .get(&qualified_name(namespace, agent))
            .ok_or_else(|| format!("the revision does not say where agent {agent:?} runs"))?;
        let stage = match self.stage {
            GuardrailStage::Input => "in",
            GuardrailStage::Output => "out",
        };
        let question = AskedAgent {
            agent,
            namespace,
            task_queue,
            place: format!("{}.{}.{stage}{index}", self.id.turn, self.id.step),
            timeout: Some(guardrail.timeout.as_std()),
        };
        let answer = ask_agent(self.ctx, question, self.text.to_owned(), self.token)
            .await
            .map_err(|error| format!("{} ({})", error.message, error.category))?;
        serde_json::from_str(&answer.text).map_err(|error| format!("its answer is not JSON: {error}"))
    }

    async fn call_activity(&self, guardrail: &Guardrail, activity: &ActivityTool) -> Result<Value, String> {
        let input = read(self.ctx, |task| {
            json!({
                "stage": self.stage, "text": self.text, "task_id": task.start.task_id,
                "agent": self.revision.spec.agent,
            })
        });
        let arguments = object_arguments(&input)?;
        if let Some(queues) = own_queues(self.ctx) {
            queues
                .check_activity(activity)
                .map_err(|forbidden| forbidden.to_string())?;
        }
        let own_queue = || read(self.ctx, Task::acting_queue);
        let queue = activity.task_queue.clone().or_else(own_queue);
        let timeout = guardrail.timeout.as_std();
        let options = activity_options::guardrail(&guardrail.name, queue, timeout, self.token.clone());
        let arguments = commands::admit_plain(self.ctx, "the text to check", arguments)
            .await
            .map_err(|error| error.describe().1)?;
        let called = self
            .ctx
            .execute_activity(UntypedActivity::new(&activity.name), arguments, options);
        let result = called.await.map_err(|error| CallError::from(error).describe().1)?;
        foreign_result(&result.payloads).map_err(|error| error.to_string())
    }
}

fn guardrail_failed(reason: &str) -> Failure {
    Failure::Error {
        category: GUARDRAIL_FAILED.to_owned(),
        message: reason.to_owned(),
    }
}

fn bounded(value: &Value) -> String {
    let text = value.to_string();
    text[..text.floor_char_boundary(200)].to_owned()
}

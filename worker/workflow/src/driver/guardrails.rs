//! Runs the guardrails of a turn, on its input and its output. A guardrail that trips, or that cannot
//! be evaluated, ends the turn.

use serde::Deserialize as _;
use serde_json::{Value, json};
use steadfast_agent_loop::{Body, Failure, Input, Segment, SegmentRef, StepId, UserContent};
use steadfast_contract::{
    activities::{CelCheck, GuardrailResult, Revision},
    queries::Phase,
};
use steadfast_crds::agent::Guardrail;
use steadfast_events::{EventKind, GuardrailStage};
use steadfast_payload::{Packed, foreign_result};
use steadfast_projection::text_of_items;
use temporalio_workflow::{
    WorkflowCancellationToken, WorkflowTermination,
    common::{UntypedActivity, data_converters::RawValue},
    workflows::join_all,
};

use super::{
    Context,
    child_workflow::{AskedAgent, ask_agent},
    now, protocol_error, read, record, stopped, turn_scope, update,
};
use crate::{activities::CheckCel, arguments::object_arguments, failure, options};

/// Category of a turn that a guardrail has stopped.
const GUARDRAIL_TRIPPED: &str = "guardrail_tripped";
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
                Body::User { content, .. } => Some((segment.reference(), text_of(content))),
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
fn withhold(task: &mut crate::task::Task, answer: &Segment, now: jiff::Timestamp) {
    task.retract(answer, now);
    let note = "Your last answer was withheld by a guardrail and not shown. Do not repeat it.";
    task.append_segment(Segment {
        turn: answer.turn,
        step: answer.step,
        at: now,
        body: Body::Note { text: note.to_owned() },
    });
}

async fn check(
    ctx: &Context,
    id: StepId,
    stage: GuardrailStage,
    subject: SegmentRef,
    text: &str,
) -> Result<(), Failure> {
    let Some((token, revision)) = turn_scope(ctx) else {
        return Err(fails("a check outside of a turn"));
    };
    update(ctx, |task| {
        task.local.phase = Phase::Checking;
        // Guardrails may take long: the outbox must not wait for them.
        task.local.piggyback_pending = false;
    });
    ctx.set_current_details(format!("turn {}: runs guardrails", id.turn));
    let guardrails = match stage {
        GuardrailStage::Input => &revision.spec.guardrails.input,
        GuardrailStage::Output => &revision.spec.guardrails.output,
    };
    let expressions = guardrails
        .iter()
        .filter_map(|check| Some((check.name.clone(), check.cel.clone()?)))
        .collect();
    let quick = evaluate(ctx, &revision, stage, expressions, subject, &token).await;
    trip(ctx, id, stage, quick, &token)?;
    let slow = guardrails.iter().enumerate().filter(|(_, check)| check.cel.is_none());
    let results =
        join_all(slow.map(|(index, check)| judge(ctx, id, stage, index, check, text, &revision, &token))).await;
    trip(ctx, id, stage, results.into_iter().collect(), &token)
}

fn trip(
    ctx: &Context,
    id: StepId,
    stage: GuardrailStage,
    results: Result<Vec<GuardrailResult>, String>,
    token: &WorkflowCancellationToken,
) -> Result<(), Failure> {
    if token.is_cancelled() {
        return Err(stopped(ctx));
    }
    let results = results.map_err(|reason| fails(&reason))?;
    let Some(tripped) = results.into_iter().find(|result| result.tripped) else {
        return Ok(());
    };
    let now = now(ctx);
    let GuardrailResult { name, reason, .. } = tripped;
    update(ctx, |task| {
        let (name, reason) = (name.clone(), reason.clone());
        task.emit(id.turn, now, EventKind::GuardrailTripped { name, stage, reason });
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

fn fails(reason: &str) -> Failure {
    Failure::Error {
        category: GUARDRAIL_FAILED.to_owned(),
        message: reason.to_owned(),
    }
}

async fn evaluate(
    ctx: &Context,
    revision: &Revision,
    stage: GuardrailStage,
    checks: Vec<(String, String)>,
    subject: SegmentRef,
    token: &WorkflowCancellationToken,
) -> Result<Vec<GuardrailResult>, String> {
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let request = CelCheck {
        stage,
        agent: revision.spec.agent.clone(),
        checks,
        subject,
    };
    match ctx
        .execute_local_activity(CheckCel, Packed(request), options::check_cel(token.clone()))
        .await
    {
        Ok(Packed(results)) => Ok(results),
        Err(error) => Err(failure::describe(&error).1),
    }
}

#[expect(clippy::too_many_arguments, reason = "one check in its whole situation")]
async fn judge(
    ctx: &Context,
    id: StepId,
    stage: GuardrailStage,
    index: usize,
    check: &Guardrail,
    text: &str,
    revision: &Revision,
    token: &WorkflowCancellationToken,
) -> Result<GuardrailResult, String> {
    let failed = |reason: String| format!("the guardrail {:?} could not be checked: {reason}", check.name);
    let timeout = check.timeout.as_std();
    let said = if let Some(agent) = &check.agent {
        let task_queue = revision
            .spec
            .judges
            .get(agent)
            .ok_or_else(|| failed(format!("the revision does not say where agent {agent:?} runs")))?;
        let stage = match stage {
            GuardrailStage::Input => "in",
            GuardrailStage::Output => "out",
        };
        let asked = AskedAgent {
            agent,
            task_queue,
            place: format!("{}.{}.{stage}{index}", id.turn, id.step),
            timeout: Some(timeout),
        };
        let answer = ask_agent(ctx, asked, text.to_owned(), token)
            .await
            .map_err(|error| failed(format!("{} ({})", error.message, error.category)))?;
        serde_json::from_str(&answer.text).map_err(|error| failed(format!("its answer is not JSON: {error}")))?
    } else if let Some(activity) = &check.activity {
        let told = read(
            ctx,
            |task| json!({"stage": stage, "text": text, "task_id": task.start.task_id, "agent": revision.spec.agent}),
        );
        let arguments = object_arguments(&told).map_err(failed)?;
        let queue = activity
            .task_queue
            .clone()
            .or_else(|| read(ctx, |task| task.acting_queue()));
        let options = options::guardrail(&check.name, queue, timeout, token.clone());
        let result = ctx
            .execute_activity(UntypedActivity::new(&activity.name), RawValue::new(arguments), options)
            .await
            .map_err(|error| failed(failure::describe(&error).1))?;
        foreign_result(&result.payloads)
    } else {
        return Err(failed("it has no kind".to_owned()));
    };
    let result = GuardrailResult::deserialize(&said).map_err(|error| {
        failed(format!(
            "its answer {} is not a guardrail result: {error}",
            bounded(&said)
        ))
    })?;
    Ok(GuardrailResult {
        name: check.name.clone(),
        ..result
    })
}

fn text_of(content: &UserContent) -> String {
    match content {
        UserContent::Text(text) => text.clone(),
        UserContent::Data(data) => data.to_string(),
    }
}

fn bounded(value: &Value) -> String {
    let text = value.to_string();
    text[..text.floor_char_boundary(200)].to_owned()
}

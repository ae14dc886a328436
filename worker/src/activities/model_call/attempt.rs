//! The stream of one attempt: from the request to the end of the response.

use std::{error::Error, pin::pin, sync::Arc, time::Instant};

use serde_json::Value;
use steadfast_agent_loop::Segment;
use steadfast_contract::{activities::Revision, start::StartTask};
use steadfast_events::{EventKind, Usage};
use steadfast_process::ErrorChain;
use url::Url;

use crate::{
    activities::{
        Activities,
        measured_call::{CallNumber, MeasuredCall},
    },
    failure::{ActivityFailure, CallFailure},
    log::{output_gate::OutputGate, writer::LogWriter},
    model::{
        CallIdentity, Interpreter, ModelResponse, RequestContext,
        conversation::Past,
        instructions::{build_instructions, is_template},
        learning::Question,
        stream::{StreamEnd, read_stream},
    },
    task_context::TaskContext,
    template::evaluate,
    tools::functions::ListedTool,
};

/// One attempt of a model call.
pub(super) struct ModelAttempt<'a> {
    pub activities: &'a Activities,
    pub context: &'a TaskContext,
    pub start: &'a StartTask,
    pub revision: &'a Arc<Revision>,
    /// The tools that MCP servers listed for this attempt.
    pub listed: &'a Arc<Vec<ListedTool>>,
    pub number: CallNumber,
    pub writer: LogWriter,
    pub gate: OutputGate<'a>,
    /// Set where the attempt ends the turn in the log, if its answer is the last word.
    pub last_word: Option<LastWord>,
}

/// What the end of the turn says, besides the usage of the last call.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastWord {
    /// Usage of the turn before this call.
    pub turn_usage: Usage,
    pub turn_started_at: jiff::Timestamp,
}

/// How a call ended without a failure.
pub(super) enum AttemptOutcome {
    Completed(ModelResponse),
    /// The turn was interrupted; the response holds the text so far.
    Interrupted(ModelResponse),
}

impl ModelAttempt<'_> {
    /// Calls the model, until the response is complete or `stop` completes.
    pub(super) async fn call(
        &mut self,
        transcript: &[Arc<Segment>],
        now: jiff::Timestamp,
        stop: impl Future<Output = ()>,
    ) -> Result<AttemptOutcome, ActivityFailure> {
        let spec = &self.revision.spec;
        let instructions = self.instructions(now).await?;
        let base_url = self.activities.model.base_url(spec)?;
        let mut measured = self.activities.measure(self.context, spec, &base_url, self.number);
        measured.record_input(|| {
            let items = transcript.iter().flat_map(|segment| segment.items());
            items.map(Value::from).collect()
        });
        let transcript: Vec<&Segment> = transcript.iter().map(Arc::as_ref).collect();
        let end = self
            .stream(&instructions, &transcript, &base_url, &mut measured, stop)
            .await;
        match &end {
            Ok(AttemptOutcome::Completed(response)) => measured.completed(response),
            Ok(AttemptOutcome::Interrupted(response)) => measured.interrupted(response),
            Err(ActivityFailure::Failed(failure)) => measured.failed(failure.category),
            Err(ActivityFailure::ShuttingDown | ActivityFailure::Cancelled) => measured.shut_down(),
        }
        end
    }

    async fn instructions(&self, now: jiff::Timestamp) -> Result<String, CallFailure> {
        let instructions = &self.revision.spec.instructions;
        if !is_template(instructions) {
            return Ok(instructions.clone());
        }
        let failed = |error: &(dyn Error + 'static)| {
            CallFailure::permanent(
                "instructions_template",
                format!("the agent's instructions: {}", ErrorChain(error)),
            )
        };
        let (template, start) = (instructions.clone(), self.start.clone());
        let of = format!("{}/instructions", self.revision.spec.agent);
        let build = move || build_instructions(&template, &start, now);
        match evaluate(&self.activities.blocking, &of, build).await {
            Ok(instructions) => instructions.map_err(|error| failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn stream(
        &mut self,
        instructions: &str,
        transcript: &[&Segment],
        base_url: &Url,
        measured: &mut MeasuredCall<'_>,
        stop: impl Future<Output = ()>,
    ) -> Result<AttemptOutcome, ActivityFailure> {
        let Self {
            activities,
            context,
            revision,
            listed,
            number,
            writer,
            gate,
            ..
        } = self;
        let spec = &revision.spec;
        let model = &activities.model;
        let mut interpreter = Interpreter::new(
            spec.model.api,
            CallIdentity {
                task_id: &self.start.task_id,
                agent: &spec.agent,
                call_path: "",
                turn: number.turn,
                step: number.step,
            },
        );
        let mut stop = pin!(stop);
        let traceparent = measured.traceparent();
        let opening = async {
            let limit = spec.limits.max_concurrent_model_calls;
            let permit = activities.model_calls.acquire(&spec.agent, limit).await;
            // Dropped when the request is on its way.
            let attachments = activities
                .attachments
                .load(transcript, number.turn, spec.model.api)
                .await?;
            writer.publish(EventKind::ModelStarted {
                step: number.step,
                model: spec.model.name.clone(),
            });
            let sent_at = Instant::now();
            let question = Question {
                context: RequestContext {
                    revision: spec,
                    instructions,
                    task_id: &context.task_id,
                    step: number.step,
                    listed,
                    attachments: &attachments.contents,
                    variable: &|name| model.variable(name, base_url, spec),
                },
                base_url,
                transcript,
                past: Past::Own,
                traceparent: traceparent.as_deref(),
            };
            let adapted = |adaptation: &_, failure: &_| activities.request_adapted(context, spec, adaptation, failure);
            let stream = model.ask(question, adapted).await;
            stream.map(|stream| (stream, permit, sent_at))
        };
        let (mut stream, _permit, sent_at) = tokio::select! {
            opened = opening => opened?,
            () = &mut stop => return self.interrupt(interpreter),
        };
        let end = read_stream(&mut stream, &mut interpreter, &mut stop, |event| {
            measured.first_token(sent_at);
            if let Some(event) = gate.filter(event) {
                writer.publish(event);
            }
        });
        match end.await? {
            StreamEnd::Ended => Ok(AttemptOutcome::Completed(interpreter.finish()?)),
            StreamEnd::Stopped => self.interrupt(interpreter),
        }
    }

    /// The turn is interrupted, or this process shuts down.
    fn interrupt(&mut self, interpreter: Interpreter<'_>) -> Result<AttemptOutcome, ActivityFailure> {
        if self.activities.shutdown.is_cancelled() {
            return Err(ActivityFailure::ShuttingDown);
        }
        let (events, mut response) = interpreter.interrupt(jiff::Timestamp::now());
        for event in events {
            self.publish(event);
        }
        if self.gate.withholds_any() {
            // The output guardrails will not check an interrupted response.
            response.items.clear();
        }
        Ok(AttemptOutcome::Interrupted(response))
    }

    /// Publishes an event if viewers get it.
    pub(super) fn publish(&mut self, event: EventKind) {
        if let Some(event) = self.gate.filter(event) {
            self.writer.publish(event);
        }
    }
}

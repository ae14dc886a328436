//! A model call: prepared from the transcript, streamed to the log while it
//! runs, kept when it is finished, and cut short when the turn is stopped.

use std::{sync::Arc, time::Instant};

use futures::StreamExt;
use serde_json::Value;
use steadfast_agent_loop::{Body, Segment, Verdict};
use steadfast_contract::{
    activities::{LogAck, ModelCall, ModelOutcome, Revision},
    callee::{callee, required_approval},
    start::StartTask,
    tool_calls::function_calls,
};
use steadfast_eventlog::SpillPlace;
use steadfast_events::{EventKind, Message, Usage};
use steadfast_projection::{HOSTED_RESPONSE, OUTPUT, Scope, messages_of, part_message_id};
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::{Activities, show::Place};
use crate::{
    context::TaskContext,
    curtain::Curtain,
    instructions::build_instructions,
    known::Known,
    log_writer::LogWriter,
    model::{Answer, Interpreter, ModelError, Place as ModelPlace, RequestContext, build_request},
    outbox::resolve,
    spans::{ModelCallEnd, ModelCallStart, ModelSpan},
    tools::{ListedTool, check_output, judge},
};

/// Output items of one model call that an attempt before may have shown.
const MESSAGES_PER_CALL: u32 = 256;

/// One call in its whole situation.
struct Calling<'a> {
    context: &'a TaskContext,
    start: &'a StartTask,
    revision: &'a Revision,
    listed: &'a [ListedTool],
    turn: u32,
    step: u32,
    attempt: u32,
}

/// How a call ended that did not fail.
enum Ended {
    Finished(Answer),
    /// The turn was stopped: this had been said.
    Interrupted(Answer),
}

/// Why a call has no answer.
enum NoAnswer {
    Failed(ModelError),
    /// This process is to end; another one makes the call anew.
    Leaving,
}

impl Activities {
    pub(super) async fn run_model(
        &self,
        activity: &ActivityContext,
        known: &Known<'_>,
        context: &TaskContext,
        call: ModelCall,
    ) -> Result<ModelOutcome, ActivityError> {
        let attempt = activity.info().attempt;
        let transcript = known.transcript(call.base, &call.new).await?;
        let revision = known.revision(&call.revision).await?;
        let start = known.start().await?;
        let outbox = resolve(call.append.outbox, &start, Some(&revision.spec), known).await?;
        self.observe(activity, context, &start, &outbox);
        let place = Place {
            turn: call.turn,
            step: call.step,
            seen: call.append.seen.as_deref(),
        };
        let writer = self.writer(activity, &start, &revision.spec.agent, place, outbox);
        let (listed, unavailable) = self.mcp.listed_tools(&revision.spec).await;
        for (tool, reason) in unavailable {
            tracing::warn!(task_id = %context.task_id, tool, reason, "tools of an MCP server are not there for this call");
            writer.show(EventKind::ToolsUnavailable { tool, reason });
        }
        let calling = Calling {
            context,
            start: &start,
            revision: &revision,
            listed: &listed,
            turn: call.turn,
            step: call.step,
            attempt,
        };
        let spill = SpillPlace {
            task_id: &context.task_id,
            turn: call.turn,
            step: call.step,
        };
        let mut curtain = Curtain::new(&revision.spec);
        if attempt > 1 {
            if let Some(answer) = self.finished_before(spill).await {
                calling.show_again(&answer, &writer, &mut curtain);
                return Ok(self.outcome(&calling, answer, writer, curtain).await);
            }
            self.take_back(&calling, &writer).await;
        }
        let answer = match calling.instructions(call.now) {
            Ok(instructions) => {
                let running = self.running.register(&context.task_id, call.turn);
                let stop = async {
                    tokio::select! {
                        () = activity.cancelled() => {}
                        () = running.token().cancelled() => {}
                    }
                };
                self.ask(&calling, &instructions, &transcript, &writer, &mut curtain, stop)
                    .await
            }
            Err(error) => Err(NoAnswer::Failed(error)),
        };
        match answer {
            Ok(Ended::Finished(answer)) => {
                self.spill(spill, &answer).await;
                Ok(self.outcome(&calling, answer, writer, curtain).await)
            }
            Ok(Ended::Interrupted(answer)) => Ok(ModelOutcome {
                items: answer.items,
                usage: answer.usage,
                interrupted: true,
                log: self.finish(writer, &revision.spec.agent).await,
                ..ModelOutcome::default()
            }),
            Err(failure) => {
                writer.take_back();
                self.finish(writer, &revision.spec.agent).await;
                let NoAnswer::Failed(error) = failure else {
                    return Err(self.stopped());
                };
                tracing::warn!(task_id = %context.task_id, attempt, category = error.category, %error, "model call failed");
                Err(ActivityError::application(error.into_failure()))
            }
        }
    }

    async fn ask(
        &self,
        calling: &Calling<'_>,
        instructions: &str,
        transcript: &[Arc<Segment>],
        writer: &LogWriter,
        curtain: &mut Curtain<'_>,
        stop: impl Future<Output = ()>,
    ) -> Result<Ended, NoAnswer> {
        let spec = &calling.revision.spec;
        let base_url = self.model.base_url(spec).map_err(NoAnswer::Failed)?;
        let mut span = self.spans.model_call(
            calling.context,
            ModelCallStart {
                agent: &spec.agent,
                model: &spec.model.name,
                base_url: &base_url,
                turn: calling.turn,
                step: calling.step,
                attempt: calling.attempt,
            },
        );
        span.ask(|| {
            transcript
                .iter()
                .flat_map(|segment| segment.items())
                .map(Value::from)
                .collect()
        });
        let began = Instant::now();
        let ended = self
            .stream(
                calling,
                instructions,
                transcript,
                &base_url,
                writer,
                curtain,
                &mut span,
                stop,
            )
            .await;
        let (agent, model) = (&spec.agent, &spec.model.name);
        match &ended {
            Ok(Ended::Finished(answer)) => {
                self.metrics
                    .model_call_succeeded(agent, model, began.elapsed(), answer.usage);
                respond(span, answer);
            }
            Ok(Ended::Interrupted(answer)) => {
                self.metrics
                    .model_call_interrupted(agent, model, began.elapsed(), answer.usage);
                span.failed("interrupted");
            }
            Err(NoAnswer::Failed(error)) => {
                self.metrics
                    .model_call_failed(agent, model, began.elapsed(), error.category);
                span.failed(error.category);
            }
            Err(NoAnswer::Leaving) => span.failed("worker_shutdown"),
        }
        ended
    }

    #[expect(clippy::too_many_arguments, reason = "one stream in its whole situation")]
    async fn stream(
        &self,
        calling: &Calling<'_>,
        instructions: &str,
        transcript: &[Arc<Segment>],
        base_url: &url::Url,
        writer: &LogWriter,
        curtain: &mut Curtain<'_>,
        span: &mut ModelSpan,
        stop: impl Future<Output = ()>,
    ) -> Result<Ended, NoAnswer> {
        let spec = &calling.revision.spec;
        let request = RequestContext {
            revision: spec,
            instructions,
            task_id: &calling.context.task_id,
            step: calling.step,
            base_url,
            listed: calling.listed,
            variable: &|name| self.model.variable(name, base_url, spec),
        };
        let body = build_request(&request, transcript.iter().map(Arc::as_ref)).map_err(NoAnswer::Failed)?;
        let place = ModelPlace {
            task_id: &calling.start.task_id,
            agent: &spec.agent,
            call_path: "",
            turn: calling.turn,
            step: calling.step,
        };
        let mut interpreter = Interpreter::new(spec.model.api, place);
        let mut stop = std::pin::pin!(stop);
        let traceparent = span.traceparent();
        let opening = async {
            let turn_to_call = self
                .pace
                .enter(&spec.agent, spec.limits.max_concurrent_model_calls)
                .await;
            writer.show(EventKind::ModelStarted { step: calling.step });
            let events = self.model.stream(spec, base_url, body, traceparent.as_deref()).await?;
            Ok((events, turn_to_call))
        };
        let (mut events, _turn_to_call) = tokio::select! {
            opened = opening => opened.map_err(NoAnswer::Failed)?,
            () = &mut stop => return self.cut_short(interpreter, writer, curtain),
        };
        let began = Instant::now();
        let mut heard = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut stop => return self.cut_short(interpreter, writer, curtain),
            };
            let event = match event {
                None => break,
                Some(Ok(event)) => event,
                // A connection that breaks after the last word breaks nothing.
                Some(Err(_)) if interpreter.has_ended() => break,
                Some(Err(error)) => return Err(NoAnswer::Failed(error)),
            };
            for kind in interpreter.take(event, jiff::Timestamp::now()) {
                if !heard {
                    heard = true;
                    span.first_chunk();
                    self.metrics.first_token(&spec.agent, &spec.model.name, began.elapsed());
                }
                if let Some(kind) = curtain.take(kind) {
                    writer.show(kind);
                }
            }
            if interpreter.is_finished() {
                break;
            }
        }
        interpreter.finish().map(Ended::Finished).map_err(NoAnswer::Failed)
    }

    /// The turn was stopped, or this process is.
    fn cut_short(
        &self,
        interpreter: Interpreter<'_>,
        writer: &LogWriter,
        curtain: &mut Curtain<'_>,
    ) -> Result<Ended, NoAnswer> {
        if self.shutdown.is_cancelled() {
            return Err(NoAnswer::Leaving);
        }
        let (events, answer) = interpreter.interrupt(jiff::Timestamp::now());
        for kind in events {
            if let Some(kind) = curtain.take(kind) {
                writer.show(kind);
            }
        }
        if curtain.holds_something() {
            // Nobody has checked it, and nobody will.
            return Ok(Ended::Interrupted(Answer {
                items: Vec::new(),
                ..answer
            }));
        }
        Ok(Ended::Interrupted(answer))
    }

    /// What history keeps of a finished call; what follows from it is in the log before the workflow acts on it.
    async fn outcome(
        &self,
        calling: &Calling<'_>,
        answer: Answer,
        writer: LogWriter,
        mut curtain: Curtain<'_>,
    ) -> ModelOutcome {
        let spec = &calling.revision.spec;
        let Answer { items, usage, .. } = answer;
        let judged = judge(&items, spec, calling.listed);
        let calls = function_calls(&items, &judged.refused);
        let rejected = if calls.is_empty() {
            check_output(&items, spec)
        } else {
            None
        };
        let held = calls.is_empty() && rejected.is_none() && curtain.holds_something();
        if rejected.is_some() {
            for message_id in calling.message_ids(&items) {
                writer.show(EventKind::MessageReset { message_id });
            }
        } else if !held {
            for event in curtain.release() {
                writer.show(event);
            }
        }
        writer.show(EventKind::ModelEnded {
            step: calling.step,
            usage,
        });
        for call in calls {
            let target = judged.mcp.get(&call.index);
            let waits =
                callee(spec, &call.name, target).is_some_and(|callee| required_approval(callee, target).is_some());
            if call.verdict == Verdict::Run && !waits {
                writer.show(EventKind::ToolStarted {
                    tool_call_id: call.call_id,
                    name: call.name,
                });
            }
        }
        ModelOutcome {
            items,
            refused: judged.refused,
            mcp: judged.mcp,
            rejected,
            interrupted: false,
            held,
            usage,
            log: self.finish(writer, &spec.agent).await,
        }
    }

    pub(super) async fn finish(&self, writer: LogWriter, agent: &str) -> LogAck {
        let ack = writer.finish().await;
        if ack.behind {
            self.metrics.log_behind(agent);
        }
        ack
    }

    /// Takes back what an attempt before this one left in the log.
    async fn take_back(&self, calling: &Calling<'_>, writer: &LogWriter) {
        let Ok(snapshot) = self.log.snapshot(calling.start.log_task_id()).await else {
            return;
        };
        let shown: Vec<&Message> = snapshot
            .messages
            .iter()
            .filter(|message| message.turn == calling.turn)
            .collect();
        for index in 0..MESSAGES_PER_CALL {
            for part in [OUTPUT, HOSTED_RESPONSE] {
                let id = part_message_id(&calling.start.task_id, calling.turn, calling.step, part, index);
                if shown.iter().any(|message| message.id == id) {
                    writer.show(EventKind::MessageReset { message_id: id });
                }
            }
        }
    }

    /// The answer of an attempt that finished the call and died before it could say so.
    async fn finished_before(&self, place: SpillPlace<'_>) -> Option<Answer> {
        let spilled = self.log.get_spill(place).await.ok()??;
        let (items, usage): (Vec<Value>, Usage) = serde_json::from_slice(&spilled).ok()?;
        Some(Answer {
            items,
            usage,
            ..Answer::default()
        })
    }

    async fn spill(&self, place: SpillPlace<'_>, answer: &Answer) {
        let Ok(bytes) = serde_json::to_vec(&(&answer.items, &answer.usage)) else {
            return;
        };
        if let Err(error) = self.log.put_spill(place, &bytes).await {
            tracing::warn!(%error, "a finished model call is not kept in Redis; a crash now would repeat it");
        }
    }
}

impl Calling<'_> {
    fn instructions(&self, now: jiff::Timestamp) -> Result<String, ModelError> {
        build_instructions(&self.revision.spec.instructions, self.start, now).map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default();
            ModelError::permanent(
                "instructions_template",
                format!("the agent's instructions: {error}: {cause}"),
            )
        })
    }

    fn messages(&self, items: &[Value]) -> Vec<Message> {
        let segment = Segment {
            turn: self.turn,
            step: self.step,
            at: jiff::Timestamp::now(),
            body: Body::Model {
                items: items.to_vec(),
                agent: self.revision.spec.agent.clone(),
            },
        };
        let scope = Scope {
            task_id: &self.start.task_id,
            agent: &self.revision.spec.agent,
            revision: Some(&self.revision.spec),
        };
        messages_of(scope, &segment)
    }

    fn message_ids(&self, items: &[Value]) -> Vec<String> {
        self.messages(items).into_iter().map(|message| message.id).collect()
    }

    fn show_again(&self, answer: &Answer, writer: &LogWriter, curtain: &mut Curtain<'_>) {
        for message in self.messages(&answer.items) {
            if let Some(event) = curtain.take(EventKind::MessageDone { message }) {
                writer.show(event);
            }
        }
    }
}

/// Ends the span of a call that is answered.
pub(super) fn respond(mut span: ModelSpan, answer: &Answer) {
    span.answer(&answer.items);
    let reasons: Vec<&str> = answer.finish_reason.as_deref().into_iter().collect();
    span.responded(ModelCallEnd {
        response_id: answer.response_id.as_deref(),
        model: answer.model.as_deref(),
        finish_reasons: &reasons,
        usage: answer.usage,
    });
}

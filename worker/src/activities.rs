//! The activities. Each one gathers what it needs, acts, shows what it does in
//! the task's log, and answers with what history must keep.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;
use steadfast_core::{Body, Segment, SegmentRef, ToolOutput, tool_call};
use steadfast_crds::model::ModelApi;
use steadfast_log::{Batch, EntryId, EventKind, EventLog, Message, SpillPlace};
use steadfast_workflow::{
    activities::{
        Append, AppendEvents, CallHttpTool, HttpToolCall, HttpToolOutcome, InvokeModel, LoadRevision, LogAck,
        ModelCall, ModelOutcome, Revision, RevisionRequest,
    },
    calls::function_calls,
    history::bounded_result,
    outbox::PRODUCER,
    packed::Packed,
    project::{Scope, messages_of, output_message_id},
    store::SegmentStore,
};
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio_util::sync::CancellationToken;

use crate::{
    context::{self, TaskContext},
    heartbeat::Heartbeat,
    http_tool::{HttpToolClient, HttpToolError},
    instructions::build_instructions,
    known::Known,
    log_writer::{LogWriter, Scope as WriterScope},
    model::{Answer, Interpreter, ModelClient, ModelError, request::build_request},
    outbox::{Resolved, resolve, tool_ended},
    revisions::Revisions,
    tools::refused_calls,
};

/// Output items of one model call that an attempt before may have shown.
const MESSAGES_PER_CALL: u32 = 256;

/// What all activities of a worker share.
pub struct Activities {
    pub store: Arc<SegmentStore>,
    pub log: EventLog,
    pub revisions: Revisions,
    pub model: ModelClient,
    pub http_tools: HttpToolClient,
    /// Cancelled when this process is to end.
    pub shutdown: CancellationToken,
}

#[activities]
impl Activities {
    #[activity(definition = InvokeModel)]
    pub async fn invoke_model(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<ModelCall>,
    ) -> Result<Packed<ModelOutcome>, ActivityError> {
        let context = context::current();
        let _heartbeat = Heartbeat::start(&activity);
        let known = Known::new(&self.store, &activity, &context);
        self.run_model(&activity, &known, &context, call.0).await.map(Packed)
    }

    #[activity(definition = CallHttpTool)]
    pub async fn call_http_tool(
        self: Arc<Self>,
        activity: ActivityContext,
        call: Packed<HttpToolCall>,
    ) -> Result<Packed<HttpToolOutcome>, ActivityError> {
        let context = context::current();
        let known = Known::new(&self.store, &activity, &context);
        tokio::select! {
            result = self.run_http_tool(&activity, &known, &context, call.0) => result.map(Packed),
            () = activity.cancelled() => Err(self.stopped()),
        }
    }

    #[activity(definition = AppendEvents)]
    pub async fn append_events(
        self: Arc<Self>,
        activity: ActivityContext,
        append: Packed<Append>,
    ) -> Result<Packed<LogAck>, ActivityError> {
        let context = context::current();
        let known = Known::new(&self.store, &activity, &context);
        let seen = parse_seen(append.0.seen.as_deref());
        let start = known.start().await?;
        let scope = Scope {
            task_id: &context.task_id,
            agent: &start.agent,
        };
        let Resolved {
            events,
            last_number,
            genesis,
        } = resolve(append.0.outbox, scope, &known).await?;
        let batch = Batch {
            producer: PRODUCER,
            events: &events,
            seen,
            genesis,
        };
        let appended = self.log.append(&context.task_id, batch).await?;
        Ok(Packed(LogAck {
            acked: last_number,
            seen: Some(appended.last.to_string()),
            behind: false,
        }))
    }

    #[expect(clippy::unused_async, reason = "a sync activity runs outside of the task's context")]
    #[activity(definition = LoadRevision)]
    pub async fn load_revision(
        self: Arc<Self>,
        _activity: ActivityContext,
        request: Packed<RevisionRequest>,
    ) -> Result<Packed<Option<Revision>>, ActivityError> {
        let newest = self.revisions.newest(&request.0.agent)?;
        let is_known = request.0.known.as_ref() == Some(&newest.name);
        Ok(Packed((!is_known).then_some(newest)))
    }
}

impl Activities {
    /// What an activity answers that was told to stop.
    fn stopped(&self) -> ActivityError {
        if !self.shutdown.is_cancelled() {
            return ActivityError::cancelled();
        }
        // Nobody cancelled the call: another worker is to take it up.
        let failure = ApplicationFailure::builder(std::io::Error::other("the worker is shutting down"));
        ActivityError::application(failure.type_name("worker_shutdown".to_owned()).build())
    }

    async fn run_model(
        &self,
        activity: &ActivityContext,
        known: &Known<'_>,
        context: &TaskContext,
        call: ModelCall,
    ) -> Result<ModelOutcome, ActivityError> {
        let attempt = activity.info().attempt;
        let transcript = known.transcript(call.base, &call.new).await?;
        let revision = known.revision(&call.revision).await?;
        let spec = &revision.spec;
        let outbox = resolve(
            call.append.outbox,
            Scope {
                task_id: &context.task_id,
                agent: &spec.agent,
            },
            known,
        )
        .await?;
        let writer_scope = WriterScope {
            task_id: context.task_id.clone(),
            producer: format!("{}#{attempt}", activity.info().activity_id),
            turn: call.turn,
            attempt,
            agent: spec.agent.clone(),
            seen: parse_seen(call.append.seen.as_deref()),
        };
        let writer = LogWriter::start(self.log.clone(), writer_scope, outbox);
        let place = SpillPlace {
            task_id: &context.task_id,
            turn: call.turn,
            step: call.step,
        };
        if attempt > 1 {
            if let Some(answer) = self.finished_before(place).await {
                show_answer(&writer, &context.task_id, &spec.agent, call.turn, call.step, &answer);
                return Ok(outcome(answer, writer, &revision, call.step).await);
            }
            self.take_back(context, call.turn, call.step, &writer).await;
        }
        let start = known.start().await?;
        let instructions = build_instructions(&spec.instructions, &start, call.now).map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default();
            ModelError::permanent(
                "instructions_template",
                format!("the agent's instructions: {error}: {cause}"),
            )
        });
        let answer = match instructions {
            Ok(instructions) => {
                let request = PreparedCall {
                    context,
                    spec,
                    instructions,
                    turn: call.turn,
                    step: call.step,
                };
                tokio::select! {
                    answer = self.stream_answer(&request, transcript.iter().map(Arc::as_ref), &writer) => {
                        answer.map_err(Some)
                    }
                    () = activity.cancelled() => Err(None),
                }
            }
            Err(error) => Err(Some(error)),
        };
        match answer {
            Ok(answer) => {
                self.spill(place, &answer).await;
                Ok(outcome(answer, writer, &revision, call.step).await)
            }
            Err(failure) => {
                writer.take_back();
                writer.finish().await;
                let Some(error) = failure else {
                    return Err(self.stopped());
                };
                tracing::warn!(task_id = %context.task_id, attempt, category = error.category, %error, "model call failed");
                Err(ActivityError::application(error.into_failure()))
            }
        }
    }

    async fn stream_answer<'a>(
        &self,
        call: &PreparedCall<'_>,
        transcript: impl Iterator<Item = &'a Segment>,
        writer: &LogWriter,
    ) -> Result<Answer, ModelError> {
        if call.spec.model.api != ModelApi::Responses {
            let message = "model.api ChatCompletions is not served by this release; use Responses";
            return Err(ModelError::permanent("model_configuration", message));
        }
        let base_url = self.model.base_url(call.spec)?;
        let task_id = &call.context.task_id;
        let body = build_request(call.spec, &call.instructions, transcript, task_id, call.step, &base_url);
        writer.show(EventKind::ModelStarted { step: call.step });
        let mut events = self.model.stream(call.spec, &base_url, body).await?;
        let mut interpreter = Interpreter::new(task_id, &call.spec.agent, call.turn, call.step);
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                // A connection that breaks after the last word breaks nothing.
                Err(_) if interpreter.is_finished() => break,
                Err(error) => return Err(error),
            };
            for kind in interpreter.take(&event, jiff::Timestamp::now()) {
                writer.show(kind);
            }
            if interpreter.is_finished() {
                break;
            }
        }
        interpreter.finish()
    }

    /// Takes back what an attempt before this one left in the log.
    async fn take_back(&self, context: &TaskContext, turn: u32, step: u32, writer: &LogWriter) {
        let Ok(snapshot) = self.log.snapshot(&context.task_id).await else {
            return;
        };
        let shown: Vec<&Message> = snapshot
            .messages
            .iter()
            .filter(|message| message.turn == turn)
            .collect();
        for index in 0..MESSAGES_PER_CALL {
            let id = output_message_id(&context.task_id, turn, step, index);
            if shown.iter().any(|message| message.id == id) {
                writer.show(EventKind::MessageReset { message_id: id });
            }
        }
    }

    /// The answer of an attempt that finished the call and died before it could say so.
    async fn finished_before(&self, place: SpillPlace<'_>) -> Option<Answer> {
        let spilled = self.log.get_spill(place).await.ok()??;
        let (items, usage) = serde_json::from_slice(&spilled).ok()?;
        Some(Answer { items, usage })
    }

    async fn spill(&self, place: SpillPlace<'_>, answer: &Answer) {
        let Ok(bytes) = serde_json::to_vec(&(&answer.items, &answer.usage)) else {
            return;
        };
        if let Err(error) = self.log.put_spill(place, &bytes).await {
            tracing::warn!(%error, "a finished model call is not kept in Redis; a crash now would repeat it");
        }
    }

    async fn run_http_tool(
        &self,
        activity: &ActivityContext,
        known: &Known<'_>,
        context: &TaskContext,
        call: HttpToolCall,
    ) -> Result<HttpToolOutcome, ActivityError> {
        let revision = known.revision(&call.revision).await?;
        let answer = known.segment(&SegmentRef::Model(call.turn, call.step)).await?;
        let spec = revision
            .spec
            .tools
            .iter()
            .find(|tool| tool.name == call.tool)
            .map(|tool| &tool.spec);
        let Some((spec, tool)) = spec.and_then(|spec| Some((spec, spec.http.as_ref()?))) else {
            return Err(permanent(
                "tool_missing",
                format!("the revision has no http tool {:?}", call.tool),
            ));
        };
        let Body::Model { items } = &answer.body else {
            return Err(permanent(
                "call_missing",
                "the call is not in a model's answer".to_owned(),
            ));
        };
        let called = function_calls(items, &std::collections::BTreeMap::new())
            .into_iter()
            .find(|candidate| candidate.index == call.index)
            .ok_or_else(|| permanent("call_missing", "the call is not in the model's answer".to_owned()))?;
        let item = usize::try_from(call.index)
            .ok()
            .and_then(|index| items.get(index))
            .unwrap_or(&Value::Null);
        let Ok(Value::Object(arguments)) = tool_call::arguments(item) else {
            return Err(permanent(
                "tool_arguments",
                "the arguments are not a JSON object".to_owned(),
            ));
        };
        let made = self
            .http_tools
            .call(
                &revision.spec,
                spec,
                tool,
                &arguments,
                context.idempotency_key.as_deref(),
            )
            .await
            .map_err(|error| match error {
                HttpToolError::Refused(reason) => permanent("tool_refused", reason),
                HttpToolError::Unavailable(reason) => ActivityError::application(
                    ApplicationFailure::builder(std::io::Error::other(reason))
                        .type_name("tool_unavailable".to_owned())
                        .build(),
                ),
            })?;
        let result = bounded_result(Some(&revision.spec), &call.tool, made.content);
        let output = ToolOutput {
            call_id: called.call_id,
            name: called.name,
            content: result.clone(),
            is_error: made.is_error,
        };
        let log = self
            .show_tool_output(activity, context, &revision.spec.agent, &call, output)
            .await;
        Ok(HttpToolOutcome {
            content: result,
            is_error: made.is_error,
            log,
        })
    }

    async fn show_tool_output(
        &self,
        activity: &ActivityContext,
        context: &TaskContext,
        agent: &str,
        call: &HttpToolCall,
        output: ToolOutput,
    ) -> LogAck {
        let attempt = activity.info().attempt;
        let writer_scope = WriterScope {
            task_id: context.task_id.clone(),
            producer: format!("{}#{attempt}", activity.info().activity_id),
            turn: call.turn,
            attempt,
            agent: agent.to_owned(),
            seen: parse_seen(call.seen.as_deref()),
        };
        let writer = LogWriter::start(self.log.clone(), writer_scope, Resolved::nothing());
        let segment = Segment {
            turn: call.turn,
            step: call.step,
            at: jiff::Timestamp::now(),
            body: Body::Tool {
                index: call.index,
                output,
                by_task: false,
            },
        };
        for message in messages_of(
            Scope {
                task_id: &context.task_id,
                agent,
            },
            &segment,
        ) {
            writer.show(EventKind::MessageDone { message });
        }
        if let Some(ended) = tool_ended(&segment.body) {
            writer.show(ended);
        }
        writer.finish().await
    }
}

struct PreparedCall<'a> {
    context: &'a TaskContext,
    spec: &'a steadfast_crds::AgentRevisionSpec,
    instructions: String,
    turn: u32,
    step: u32,
}

/// What history keeps of a finished call; what follows from it is in the log before the workflow acts on it.
async fn outcome(answer: Answer, writer: LogWriter, revision: &Revision, step: u32) -> ModelOutcome {
    let Answer { items, usage } = answer;
    let refused = refused_calls(&items, &revision.spec);
    writer.show(EventKind::ModelEnded { step, usage });
    for call in function_calls(&items, &refused) {
        if call.verdict == steadfast_core::Verdict::Run {
            writer.show(EventKind::ToolStarted {
                tool_call_id: call.call_id,
                name: call.name,
            });
        }
    }
    ModelOutcome {
        items,
        refused,
        usage,
        log: writer.finish().await,
    }
}

fn show_answer(writer: &LogWriter, task_id: &str, agent: &str, turn: u32, step: u32, answer: &Answer) {
    let body = Body::Model {
        items: answer.items.clone(),
    };
    let segment = Segment {
        turn,
        step,
        at: jiff::Timestamp::now(),
        body,
    };
    for message in messages_of(Scope { task_id, agent }, &segment) {
        writer.show(EventKind::MessageDone { message });
    }
}

/// An id that cannot be read is as good as none: the log then goes by its own.
fn parse_seen(seen: Option<&str>) -> Option<EntryId> {
    seen.and_then(|seen| seen.parse().ok())
}

fn permanent(category: &str, message: String) -> ActivityError {
    let failure = ApplicationFailure::builder(std::io::Error::other(message));
    ActivityError::application(failure.type_name(category.to_owned()).non_retryable(true).build())
}

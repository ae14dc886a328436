//! Activity: the model summarizes a conversation that no longer fits its context
//! window.

use std::{future::pending, sync::Arc, time::Instant};

use serde_json::Value;
use steadfast_agent_loop::{Body, Segment, UserContent};
use steadfast_contract::activities::{ModelCall, Summary};
use steadfast_crds::AgentRevisionSpec;
use steadfast_events::Usage;
use steadfast_projection::text_of_items;

use super::{
    Activities, ActivityScope,
    measured_call::{CallNumber, MeasuredCall},
    publish::LogPosition,
    repeated_failure::judge,
};
use crate::{
    failure::{ActivityFailure, CallFailure},
    log::outbox::resolve,
    model::{
        CallIdentity, Interpreter, ModelResponse, RequestContext, attachments, conversation::Past, learning::Question,
        stream::read_stream,
    },
    task_context::TaskContext,
};

/// Limit for each tool result in the input of the summary.
const TOOL_OUTPUT_BYTES: usize = 4_096;

const INSTRUCTIONS: &str = "\
You sum up a conversation between people, an agent and its tools, so that the agent can go on from your summary alone.
Keep what was asked and why, what was decided, every fact, name, number, identifier and preference that may matter later,
what was done with tools and what came of it, and what is still to be done. Leave out greetings and repetitions.
Write in the language of the conversation. Answer with the summary and nothing else.";
const REQUEST: &str = "Sum up the conversation so far.";

impl Activities {
    pub(super) async fn compact(
        &self,
        scope: &ActivityScope<'_>,
        mut call: ModelCall,
    ) -> Result<Summary, ActivityFailure> {
        let transcript = scope.history.transcript(call.base, &call.new).await?;
        let revision = scope.history.revision(&call.revision).await?;
        let start = scope.history.start().await?;
        let outbox = std::mem::take(&mut call.append.outbox);
        let outbox = resolve(outbox, &start, Some(&revision.spec), &scope.history).await?;
        self.observe(scope, &start, &outbox);
        let position = LogPosition {
            turn: call.turn,
            step: call.step,
            cursor: call.append.cursor.as_deref(),
        };
        let agent = &revision.spec.agent;
        let writer = self.start_writer(scope.activity, &start, &revision.spec, position, outbox);
        let running = self.running.register(&scope.context.task_id, call.turn);
        let summary = tokio::select! {
            summary = self.summarize(scope, &revision.spec, &transcript, &call) => summary,
            () = scope.activity.cancelled() => return Err(self.cancelled()),
            // An empty summary, no cancellation: the server may not know yet that the turn is interrupted.
            () = running.token().cancelled() => Ok((String::new(), Usage::default())),
        };
        let log = self.finish(writer, agent).await;
        match summary {
            Ok((text, usage)) => Ok(Summary { text, usage, log }),
            Err(failure) => {
                let failure = judge(scope.activity, failure);
                tracing::warn!(
                    task_id = %scope.context.task_id,
                    category = failure.category,
                    error = %failure,
                    "summary of the conversation failed"
                );
                Err(failure.into())
            }
        }
    }

    async fn summarize(
        &self,
        scope: &ActivityScope<'_>,
        spec: &AgentRevisionSpec,
        transcript: &[Arc<Segment>],
        call: &ModelCall,
    ) -> Result<(String, Usage), CallFailure> {
        let spec = summarizer(spec);
        let segments = summary_input(transcript, call);
        let base_url = self.model.base_url(&spec)?;
        let request = RequestContext {
            revision: &spec,
            instructions: &spec.instructions,
            task_id: &scope.context.task_id,
            step: 0,
            listed: &[],
            // The summary has their names.
            attachments: &attachments::NONE,
            variable: &|name| self.model.variable(name, &base_url, &spec),
        };
        let transcript: Vec<&Segment> = segments.iter().collect();
        let identity = CallIdentity {
            task_id: &scope.context.task_id,
            agent: &spec.agent,
            call_path: "summary",
            turn: call.turn,
            step: call.step,
        };
        let number = CallNumber {
            turn: call.turn,
            step: call.step,
            attempt: scope.activity.info().attempt,
        };
        let mut measured = self.measure(scope.context, &spec, &base_url, number);
        measured.record_input(|| segments.iter().flat_map(Segment::items).map(Value::from).collect());
        let traceparent = measured.traceparent();
        let question = Question {
            context: request,
            base_url: &base_url,
            transcript: &transcript,
            // Reasoning and hosted calls need no summary.
            past: Past::Plain,
            traceparent: traceparent.as_deref(),
        };
        let response = self
            .stream_summary(scope.context, question, identity, &mut measured)
            .await;
        match &response {
            Ok(response) => measured.completed(response),
            Err(failure) => measured.failed(failure.category),
        }
        let response = response?;
        let text = text_of_items(&response.items);
        if text.trim().is_empty() {
            return Err(CallFailure::transient("summary_empty", "the model's summary is empty"));
        }
        Ok((text, response.usage))
    }

    async fn stream_summary(
        &self,
        context: &TaskContext,
        question: Question<'_>,
        identity: CallIdentity<'_>,
        measured: &mut MeasuredCall<'_>,
    ) -> Result<ModelResponse, CallFailure> {
        let spec = question.context.revision;
        let mut interpreter = Interpreter::new(spec.model.api, identity);
        let sent_at = Instant::now();
        let adapted = |adaptation: &_, failure: &_| self.request_adapted(context, spec, adaptation, failure);
        let mut stream = self.model.ask(question, adapted).await?;
        // Nobody stops the stream: the activity drops it.
        read_stream(&mut stream, &mut interpreter, &mut pending(), |_| {
            measured.first_token(sent_at);
        })
        .await?;
        interpreter.finish()
    }
}

/// The agent's revision with the instructions of a summary, without tools and output schema.
fn summarizer(spec: &AgentRevisionSpec) -> AgentRevisionSpec {
    let mut spec = spec.clone();
    let additional = &spec.context.compaction.instructions;
    spec.instructions = if additional.is_empty() {
        INSTRUCTIONS.to_owned()
    } else {
        format!("{INSTRUCTIONS}\n\n{additional}")
    };
    spec.tools.clear();
    spec.agents.clear();
    spec.handoffs.clear();
    spec.output = None;
    spec.model.settings.tool_choice = None;
    spec
}

/// The conversation with large tool results shortened, and the request for a summary at its end.
fn summary_input(transcript: &[Arc<Segment>], call: &ModelCall) -> Vec<Segment> {
    let mut segments: Vec<Segment> = transcript.iter().map(|segment| (**segment).clone()).collect();
    for segment in &mut segments {
        if let Body::Tool { output, .. } = &mut segment.body {
            let content = std::mem::take(&mut output.content);
            output.content = steadfast_agent_loop::tool_call::bounded(content, TOOL_OUTPUT_BYTES);
        }
    }
    // The last message, which has no answer yet, stays in the conversation.
    if segments
        .last()
        .is_some_and(|segment| matches!(segment.body, Body::User { .. }))
    {
        segments.pop();
    }
    segments.push(Segment {
        turn: call.turn,
        step: call.step,
        at: call.now,
        body: Body::User {
            message_id: String::new(),
            idempotency_key: None,
            content: UserContent::Text(REQUEST.to_owned()),
            sender: String::new(),
        },
    });
    segments
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_agent_loop::{CallKind, ModelText, ToolOutput};
    use steadfast_contract::activities::Append;

    use super::*;

    fn call() -> ModelCall {
        ModelCall {
            turn: 2,
            step: 0,
            base: 0,
            new: Vec::new(),
            revision: "a-1".into(),
            now: jiff::Timestamp::UNIX_EPOCH,
            may_end_turn: None,
            append: Append::default(),
        }
    }

    fn segment(body: Body) -> Arc<Segment> {
        Arc::new(Segment {
            turn: 1,
            step: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            body,
        })
    }

    fn user(text: &str) -> Arc<Segment> {
        segment(Body::User {
            message_id: text.into(),
            idempotency_key: None,
            content: UserContent::Text(text.into()),
            sender: String::new(),
        })
    }

    #[test]
    fn the_last_user_message_is_not_summarized_and_large_results_are_shortened() {
        let output = ToolOutput {
            call_id: "c".into(),
            name: "t".into(),
            kind: CallKind::Function,
            content: json!("x".repeat(100_000)),
            is_error: false,
            text: ModelText::default(),
        };
        let tool = segment(Body::Tool {
            index: 0,
            output,
            by_task: false,
        });
        let segments = summary_input(&[user("one"), tool, user("two")], &call());
        let items: Vec<Value> = segments.iter().flat_map(Segment::items).map(Value::from).collect();
        assert_eq!(items.len(), 3);
        assert!(items[1]["output"].as_str().unwrap().len() < 5_000);
        assert_eq!(items[2], json!({"role": "user", "content": REQUEST}));
    }
}

//! The model sums up a conversation that no longer fits its window.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;
use steadfast_agent_loop::{Body, Segment, UserContent};
use steadfast_contract::activities::{ModelCall, Summary};
use steadfast_crds::AgentRevisionSpec;
use steadfast_projection::text_of_items;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::{Activities, model_call::respond, show::Place};
use crate::{
    context::TaskContext,
    known::Known,
    model::{Answer, Interpreter, ModelError, Place as ModelPlace, RequestContext, build_request},
    outbox::resolve,
    spans::{ModelCallStart, ModelSpan},
};

/// What of a tool's result the summary is made from.
const TOOL_OUTPUT_BYTES: usize = 4_096;

const INSTRUCTIONS: &str = "\
You sum up a conversation between people, an agent and its tools, so that the agent can go on from your summary alone.
Keep what was asked and why, what was decided, every fact, name, number, identifier and preference that may matter later,
what was done with tools and what came of it, and what is still to be done. Leave out greetings and repetitions.
Write in the language of the conversation. Answer with the summary and nothing else.";
const REQUEST: &str = "Sum up the conversation so far.";

impl Activities {
    pub(super) async fn sum_up(
        &self,
        activity: &ActivityContext,
        known: &Known<'_>,
        context: &TaskContext,
        mut call: ModelCall,
    ) -> Result<Summary, ActivityError> {
        let transcript = known.transcript(call.base, &call.new).await?;
        let revision = known.revision(&call.revision).await?;
        let start = known.start().await?;
        let carried = std::mem::take(&mut call.append.outbox);
        let outbox = resolve(carried, &start, Some(&revision.spec), known).await?;
        self.observe(activity, context, &start, &outbox);
        let place = Place {
            turn: call.turn,
            step: call.step,
            seen: call.append.seen.as_deref(),
        };
        let writer = self.writer(activity, &start, &revision.spec.agent, place, outbox);
        let running = self.running.register(&context.task_id, call.turn);
        let attempt = activity.info().attempt;
        let summed = tokio::select! {
            summed = self.ask_for_summary(context, &revision.spec, &transcript, &call, attempt) => summed,
            () = activity.cancelled() => return Err(self.stopped()),
            // The server may not know yet that the turn was stopped: it would refuse to hear of a cancel.
            () = running.token().cancelled() => Ok((String::new(), steadfast_events::Usage::default())),
        };
        let log = self.finish(writer, &revision.spec.agent).await;
        match summed {
            Ok((text, usage)) => Ok(Summary { text, usage, log }),
            Err(error) => {
                tracing::warn!(task_id = %context.task_id, category = error.category, %error, "the conversation could not be summed up");
                Err(ActivityError::application(error.into_failure()))
            }
        }
    }

    async fn ask_for_summary(
        &self,
        context: &TaskContext,
        spec: &AgentRevisionSpec,
        transcript: &[Arc<Segment>],
        call: &ModelCall,
        attempt: u32,
    ) -> Result<(String, steadfast_events::Usage), ModelError> {
        let spec = summariser(spec);
        let segments = shortened(transcript, call);
        let base_url = self.model.base_url(&spec)?;
        let request = RequestContext {
            revision: &spec,
            instructions: &spec.instructions,
            task_id: &context.task_id,
            step: 0,
            base_url: &base_url,
            listed: &[],
            variable: &|name| self.model.variable(name, &base_url, &spec),
        };
        let body = build_request(&request, &segments)?;
        let place = ModelPlace {
            task_id: &context.task_id,
            agent: &spec.agent,
            call_path: "summary",
            turn: call.turn,
            step: call.step,
        };
        let (agent, model) = (&spec.agent, &spec.model.name);
        let mut span = self.spans.model_call(
            context,
            ModelCallStart {
                agent,
                model,
                base_url: &base_url,
                turn: call.turn,
                step: call.step,
                attempt,
            },
        );
        span.ask(|| segments.iter().flat_map(Segment::items).map(Value::from).collect());
        let began = Instant::now();
        let answered = self.hear_summary(&spec, &base_url, body, place, &mut span).await;
        match &answered {
            Ok(answer) => {
                self.metrics
                    .model_call_succeeded(agent, model, began.elapsed(), answer.usage);
                respond(span, answer);
            }
            Err(error) => {
                self.metrics
                    .model_call_failed(agent, model, began.elapsed(), error.category);
                span.failed(error.category);
            }
        }
        let answer = answered?;
        let text = text_of_items(&answer.items);
        if text.trim().is_empty() {
            return Err(ModelError::transient("summary_empty", "the model's summary is empty"));
        }
        Ok((text, answer.usage))
    }

    async fn hear_summary(
        &self,
        spec: &AgentRevisionSpec,
        base_url: &url::Url,
        body: Bytes,
        place: ModelPlace<'_>,
        span: &mut ModelSpan,
    ) -> Result<Answer, ModelError> {
        let mut interpreter = Interpreter::new(spec.model.api, place);
        let traceparent = span.traceparent();
        let mut events = self.model.stream(spec, base_url, body, traceparent.as_deref()).await?;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if !interpreter.take(event, jiff::Timestamp::now()).is_empty() {
                        span.first_chunk();
                    }
                }
                Err(_) if interpreter.has_ended() => break,
                Err(error) => return Err(error),
            }
            if interpreter.is_finished() {
                break;
            }
        }
        interpreter.finish()
    }
}

/// The agent's model without its tools and its form of answers.
fn summariser(spec: &AgentRevisionSpec) -> AgentRevisionSpec {
    let mut spec = spec.clone();
    let wanted = &spec.context.compaction.instructions;
    spec.instructions = if wanted.is_empty() {
        INSTRUCTIONS.to_owned()
    } else {
        format!("{INSTRUCTIONS}\n\n{wanted}")
    };
    spec.tools.clear();
    spec.agents.clear();
    spec.handoffs.clear();
    spec.output = None;
    spec.model.settings.tool_choice = None;
    spec
}

/// The conversation with the middle of large results cut out, and the wish for a summary at its end.
fn shortened(transcript: &[Arc<Segment>], call: &ModelCall) -> Vec<Segment> {
    let mut segments: Vec<Segment> = transcript.iter().map(|segment| (**segment).clone()).collect();
    for segment in &mut segments {
        if let Body::Tool { output, .. } = &mut segment.body {
            let content = std::mem::take(&mut output.content);
            output.content = steadfast_agent_loop::tool_call::bounded(content, TOOL_OUTPUT_BYTES);
        }
    }
    // A message that nothing has come of yet stays as it is, and needs no summary.
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
            content: UserContent::Text(REQUEST.to_owned()),
        },
    });
    segments
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;
    use steadfast_agent_loop::{ModelText, ToolOutput};
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
            content: UserContent::Text(text.into()),
        })
    }

    #[test]
    fn the_message_that_is_being_answered_is_not_summed_up_and_large_results_are_cut() {
        let output = ToolOutput {
            call_id: "c".into(),
            name: "t".into(),
            content: json!("x".repeat(100_000)),
            is_error: false,
            text: ModelText::default(),
        };
        let tool = segment(Body::Tool {
            index: 0,
            output,
            by_task: false,
        });
        let segments = shortened(&[user("one"), tool, user("two")], &call());
        let items: Vec<Value> = segments.iter().flat_map(Segment::items).map(Value::from).collect();
        assert_eq!(items.len(), 3);
        assert!(items[1]["output"].as_str().unwrap().len() < 5_000);
        assert_eq!(items[2], json!({"role": "user", "content": REQUEST}));
    }
}

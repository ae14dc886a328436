//! The end of an attempt: the outcome that history keeps, the events that follow
//! from it, and the copy of a completed response in Redis.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use steadfast_agent_loop::{Body, CallDisposition, CallKind, Segment, ToolCall, output_item::unsupported_item};
use steadfast_bounds::json;
use steadfast_contract::{
    activities::ModelOutcome,
    callee::{callee, required_approval},
    interval::Interval,
    mcp::McpTarget,
    outbox::TurnEndPlace,
    tool_calls::tool_calls,
};
use steadfast_crds::{AgentRevisionSpec, model::ModelRetry};
use steadfast_eventlog::{Numbered, SpillPlace};
use steadfast_events::{Event, EventKind, Message, TurnStatus, Usage};
use steadfast_projection::{HOSTED_RESPONSE, OUTPUT, Scope, messages_of, part_message_id};

use super::{
    answer_parts,
    attempt::{LastWord, ModelAttempt},
};
use crate::{
    activities::{Activities, ActivityScope, repeated_failure::judge},
    failure::{ActivityFailure, CallFailure, RetryClass},
    model::ModelResponse,
    tools::{
        fenced_answer::unwrap_answer,
        validation::{self, CheckedResponse},
    },
};

/// Limit for the output items of an earlier attempt that are retracted.
const MESSAGES_PER_CALL: u32 = 256;
/// Limit for the validation of a response; it takes milliseconds.
const VALIDATION_DEADLINE: Duration = Duration::from_secs(10);

impl ModelAttempt<'_> {
    /// The outcome of a completed call. The log has the events that follow from it before the workflow acts on it.
    pub(super) async fn complete(
        mut self,
        scope: &ActivityScope<'_>,
        response: ModelResponse,
    ) -> Result<ModelOutcome, ActivityFailure> {
        let spec = &self.revision.spec;
        let ModelResponse { mut items, usage, .. } = response;
        if unwrap_answer(&mut items, spec) {
            for message in self.messages(&items) {
                self.publish(EventKind::MessageDone { message });
            }
        }
        let spec = &self.revision.spec;
        let CheckedResponse {
            calls: checked,
            rejected,
        } = self.validate(&items).await;
        let calls = tool_calls(&items, &checked.refused);
        let unsupported = unsupported_item(&items).map(str::to_owned);
        let rejected = rejected.filter(|_| calls.is_empty() && unsupported.is_none());
        let ends_turn = calls.is_empty() || unsupported.is_some();
        let withheld = ends_turn && rejected.is_none() && self.gate.withholds_any();
        let mut outcome = ModelOutcome {
            refused: checked.refused,
            mcp: checked.mcp,
            unsupported,
            rejected,
            origin: self.activities.origin(spec),
            withheld,
            usage,
            ..ModelOutcome::default()
        };
        if outcome.is_retracted() {
            for message in self.messages(&items) {
                self.writer.publish(EventKind::MessageReset { message_id: message.id });
            }
        } else if !withheld {
            for event in self.gate.release() {
                self.writer.publish(event);
            }
        }
        let step = self.number.step;
        self.writer.publish(EventKind::ModelEnded { step, usage });
        if outcome.unsupported.is_none() {
            for call in calls
                .into_iter()
                .filter(|call| starts_at_once(spec, call, &outcome.mcp))
            {
                self.writer.publish(EventKind::ToolStarted {
                    tool_call_id: call.call_id,
                    name: call.name,
                });
            }
        }
        outcome.item_parts = match answer_parts::send(scope, &items).await {
            Ok(parts) => parts,
            Err(failure) => return Err(self.failed(scope, failure.into()).await),
        };
        if outcome.item_parts.is_none() {
            outcome.items = items;
        }
        let is_last_word = ends_turn
            && outcome.unsupported.is_none()
            && outcome.rejected.is_none()
            && !outcome.withheld
            && outcome.item_parts.is_none();
        let last_word = self.last_word.filter(|_| is_last_word);
        Ok(self.close(scope, outcome, last_word).await)
    }

    /// Waits for the log, which gets the end of the turn too if this was its last word.
    async fn close(
        self,
        scope: &ActivityScope<'_>,
        mut outcome: ModelOutcome,
        last_word: Option<LastWord>,
    ) -> ModelOutcome {
        let end = last_word.map(|word| self.turn_end(word, outcome.usage));
        if let Some(end) = &end {
            self.writer.end_turn(end.to_vec());
        }
        let written = self
            .activities
            .finish_turn(self.writer, &self.revision.spec.agent)
            .await;
        outcome.log = written.ack;
        outcome.turn_ended = written.turn_ended;
        if let Some(([_, ended], word)) = end.zip(last_word).filter(|_| written.turn_ended) {
            let interval = Interval {
                step: 0,
                from: word.turn_started_at,
                until: ended.event.time,
            };
            self.activities
                .observe_event(scope, self.start, &ended.event, Some(interval));
        }
        outcome
    }

    /// The events that end the turn, as the workflow would make them.
    fn turn_end(&self, word: LastWord, usage: Usage) -> [Numbered; 2] {
        let turn = self.number.turn;
        let mut turn_usage = word.turn_usage;
        turn_usage.add(usage);
        let name = self.revision.spec.agent.clone();
        let ended = EventKind::TurnEnded {
            status: TurnStatus::Completed,
            usage: turn_usage,
            error: None,
        };
        let time = jiff::Timestamp::now();
        [
            (TurnEndPlace::Agent, EventKind::AgentEnded { name }),
            (TurnEndPlace::Turn, ended),
        ]
        .map(|(place, kind)| Numbered {
            counter: place.counter(turn),
            event: Event {
                kind,
                turn,
                attempt: 1,
                agent: self.revision.spec.agent.clone(),
                path: self.start.path().to_owned(),
                time,
            },
        })
    }

    /// Validates a response on a thread of its own: the schemas are those of users and of MCP servers.
    async fn validate(&self, items: &[Value]) -> CheckedResponse {
        let (owned, revision, listed) = (items.to_vec(), Arc::clone(self.revision), Arc::clone(self.listed));
        let blocking = &self.activities.blocking;
        let check = move || validation::check(&owned, &revision.spec, &listed);
        blocking
            .run(&self.context.task_id, VALIDATION_DEADLINE, check)
            .await
            .unwrap_or_else(|error| validation::unchecked(items, &self.revision.spec, &error.to_string()))
    }

    /// The outcome of an interrupted call.
    pub(super) async fn interrupted(
        self,
        scope: &ActivityScope<'_>,
        response: ModelResponse,
    ) -> Result<ModelOutcome, ActivityFailure> {
        let item_parts = answer_parts::send(scope, &response.items).await?;
        Ok(ModelOutcome {
            items: if item_parts.is_some() {
                Vec::new()
            } else {
                response.items
            },
            item_parts,
            origin: self.activities.origin(&self.revision.spec),
            usage: response.usage,
            interrupted: true,
            log: self.activities.finish(self.writer, &self.revision.spec.agent).await,
            ..ModelOutcome::default()
        })
    }

    /// Retracts the messages of a failed call, and says when the next attempt follows.
    pub(super) async fn failed(self, scope: &ActivityScope<'_>, failure: ActivityFailure) -> ActivityFailure {
        let failure = match failure {
            ActivityFailure::Failed(failure) => ActivityFailure::Failed(judge(scope.activity, failure)),
            other => other,
        };
        self.writer.retract_all();
        if let ActivityFailure::Failed(failure) = &failure
            && let Some(pause) = next_attempt_in(failure, &self.revision.spec.model.retry, self.number.attempt)
        {
            self.writer.publish(EventKind::ModelAttemptFailed {
                step: self.number.step,
                category: failure.category.to_owned(),
                reason: failure.message.clone(),
                retry_in_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            });
        }
        self.activities.finish(self.writer, &self.revision.spec.agent).await;
        if let ActivityFailure::Failed(failure) = &failure {
            tracing::warn!(
                task_id = %self.context.task_id,
                attempt = self.number.attempt,
                category = failure.category,
                error = %failure,
                "model call failed"
            );
        }
        failure
    }

    /// Publishes the messages of a response that an earlier attempt completed.
    pub(super) fn republish(&mut self, response: &ModelResponse) {
        for message in self.messages(&response.items) {
            self.publish(EventKind::MessageDone { message });
        }
    }

    /// Retracts the messages that an earlier attempt left in the log.
    pub(super) async fn retract_earlier_attempt(&self) {
        let Ok(snapshot) = self.activities.log.snapshot(&self.start.log_id()).await else {
            return;
        };
        let of_turn: Vec<&Message> = snapshot
            .messages
            .iter()
            .filter(|message| message.turn == self.number.turn)
            .collect();
        if of_turn.is_empty() {
            return;
        }
        for index in 0..MESSAGES_PER_CALL {
            for part in [OUTPUT, HOSTED_RESPONSE] {
                let id = part_message_id(&self.start.task_id, self.number.turn, self.number.step, part, index);
                if of_turn.iter().any(|message| message.id == id) {
                    self.writer.publish(EventKind::MessageReset { message_id: id });
                }
            }
        }
    }

    fn messages(&self, items: &[Value]) -> Vec<Message> {
        let segment = Segment {
            turn: self.number.turn,
            step: self.number.step,
            at: jiff::Timestamp::now(),
            body: Body::Model {
                items: items.to_vec(),
                agent: self.revision.spec.agent.clone(),
                origin: String::new(),
            },
        };
        let scope = Scope {
            task_id: &self.start.task_id,
            agent: &self.revision.spec.agent,
            revision: Some(&self.revision.spec),
        };
        messages_of(scope, &segment)
    }
}

/// When Temporal makes the next attempt; none if there is none. By the retry policy of the activity, unless the provider
/// asked for a wait.
fn next_attempt_in(failure: &CallFailure, retry: &ModelRetry, attempt: u32) -> Option<Duration> {
    let RetryClass::Transient { delay } = failure.retry else {
        return None;
    };
    let by_policy = || {
        let initial = retry.initial_interval.as_std();
        let interval = initial.saturating_mul(1 << attempt.saturating_sub(1).min(20));
        interval.min(retry.maximum_interval.as_std().max(initial))
    };
    (attempt < retry.maximum_attempts).then(|| delay.unwrap_or_else(by_policy))
}

/// Whether a call needs no decision of a person before it runs.
fn starts_at_once(spec: &AgentRevisionSpec, call: &ToolCall, mcp: &BTreeMap<u32, McpTarget>) -> bool {
    let target = mcp.get(&call.index);
    let needs_approval =
        callee(spec, &call.name, target).is_some_and(|callee| required_approval(callee, target).is_some());
    call.kind == CallKind::Function && call.disposition == CallDisposition::Run && !needs_approval
}

impl Activities {
    /// The response of an earlier attempt that completed the call and could not report it.
    pub(super) async fn spilled_response(&self, place: SpillPlace<'_>) -> Option<ModelResponse> {
        let spilled = self.log.get_spill(place).await.ok()??;
        let (items, usage): (Vec<Value>, Usage) = json::read_own(&spilled).ok()?;
        Some(ModelResponse {
            items,
            usage,
            ..ModelResponse::default()
        })
    }

    /// Keeps a completed response in Redis, so that an attempt after a crash does not call the model again. Whether it
    /// is there.
    pub(super) async fn spill_response(&self, place: SpillPlace<'_>, response: &ModelResponse) -> bool {
        let Ok(bytes) = serde_json::to_vec(&(&response.items, &response.usage)) else {
            return false;
        };
        let kept = self.log.put_spill(place, &bytes).await;
        if let Err(error) = &kept {
            tracing::warn!(%error, "completed model response not kept in Redis; a crash now would repeat the call");
        }
        kept.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_attempt_follows_the_wait_of_the_provider_or_the_retry_policy() {
        let retry = ModelRetry::default();
        let failure = CallFailure::transient("model_stream_ended", "ended");
        let seconds: Vec<Option<u64>> = [1, 2, 6, 7, 19, 20]
            .map(|attempt| next_attempt_in(&failure, &retry, attempt).map(|pause| pause.as_secs()))
            .into();
        assert_eq!(seconds, [Some(1), Some(2), Some(32), Some(60), Some(60), None]);
        let delay = Some(Duration::from_secs(7));
        let asked = CallFailure::new("model_rate_limit", "slow", RetryClass::Transient { delay });
        assert_eq!(next_attempt_in(&asked, &retry, 1), delay);
        let permanent = CallFailure::permanent("model_not_found", "no");
        assert_eq!(next_attempt_in(&permanent, &retry, 1), None);
    }
}

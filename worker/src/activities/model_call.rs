//! Activity: one attempt of a model call. Builds the request from the transcript,
//! publishes the stream to the log, keeps the completed response in Redis until
//! history has it, and ends early when the turn is interrupted.

mod answer_parts;
mod attempt;
mod completion;

use std::sync::Arc;

use steadfast_contract::activities::{ModelCall, ModelOutcome};
use steadfast_crds::AgentRevisionSpec;
use steadfast_eventlog::SpillPlace;
use steadfast_events::EventKind;

use self::attempt::{AttemptOutcome, LastWord, ModelAttempt};
use super::{Activities, ActivityScope, measured_call::CallNumber, publish::LogPosition};
use crate::{
    failure::ActivityFailure,
    log::{outbox::resolve, output_gate::OutputGate},
};

impl Activities {
    pub(super) async fn run_model(
        &self,
        scope: &ActivityScope<'_>,
        call: ModelCall,
    ) -> Result<ModelOutcome, ActivityFailure> {
        let transcript = scope.history.transcript(call.base, &call.new).await?;
        let revision = scope.history.revision(&call.revision).await?;
        let start = scope.history.start().await?;
        let outbox = resolve(call.append.outbox, &start, Some(&revision.spec), &scope.history).await?;
        self.observe(scope, &start, &outbox);
        let position = LogPosition {
            turn: call.turn,
            step: call.step,
            cursor: call.append.cursor.as_deref(),
        };
        let writer = self.start_writer(scope.activity, &start, &revision.spec, position, outbox);
        let (listed, unavailable) = self.mcp.listed_tools(&revision.spec).await;
        let listed = Arc::new(listed);
        for (tool, reason) in unavailable {
            tracing::warn!(task_id = %scope.context.task_id, tool, reason, "tools of an MCP server are unavailable");
            writer.publish(EventKind::ToolsUnavailable { tool, reason });
        }
        let number = CallNumber {
            turn: call.turn,
            step: call.step,
            attempt: scope.activity.info().attempt,
        };
        let mut attempt = ModelAttempt {
            activities: self,
            context: scope.context,
            start: &start,
            revision: &revision,
            listed: &listed,
            number,
            writer,
            gate: OutputGate::new(&revision.spec),
            last_word: call
                .may_end_turn
                .filter(|_| !is_last_attempt(&revision.spec, number))
                .map(|usage| LastWord {
                    turn_usage: usage,
                    turn_started_at: call.now,
                }),
        };
        let own_log = start.own_log_id();
        let spill = SpillPlace {
            log: &own_log,
            run_id: &scope.context.run_id,
            turn: call.turn,
            step: call.step,
        };
        if number.attempt > 1 {
            if let Some(response) = self.spilled_response(spill).await {
                attempt.republish(&response);
                return attempt.complete(scope, response).await;
            }
            attempt.retract_earlier_attempt().await;
        }
        let running = self.running.register(&scope.context.task_id, call.turn);
        let stop = async {
            tokio::select! {
                () = scope.activity.cancelled() => {}
                () = running.token().cancelled() => {}
            }
        };
        match attempt.call(&transcript, call.now, stop).await {
            Ok(AttemptOutcome::Completed(response)) => {
                if !self.spill_response(spill, &response).await {
                    // Another attempt could give another answer after the end of the turn.
                    attempt.last_word = None;
                }
                attempt.complete(scope, response).await
            }
            Ok(AttemptOutcome::Interrupted(response)) => attempt.interrupted(scope, response).await,
            Err(failure) => Err(attempt.failed(scope, failure).await),
        }
    }
}

/// After the last attempt the turn fails, if the workflow does not learn of its answer.
fn is_last_attempt(spec: &AgentRevisionSpec, number: CallNumber) -> bool {
    number.attempt == spec.model.retry.maximum_attempts
}

//! What the integration tests of this crate use. Not part of the API.

use serde_json::Value;
use steadfast_crds::{AgentRevisionSpec, model::ModelApi};
use steadfast_eventlog::EventLog;
use steadfast_events::LogId;

pub use crate::{
    cancel_broadcast::{CancelBroadcast, CancelBroadcastError, RunningCall, RunningCalls, channel_name},
    egress::{credentials::Credentials, http_client::Egress},
    failure::{CallFailure, RetryClass},
    tools::{
        functions::ListedTool,
        mcp::{McpCall, McpCallResult, McpClient, ServerTool},
    },
};
use crate::{
    log::{
        outbox::OutboxEvents,
        output_gate::OutputGate,
        writer::{LogWriters, WriterScope},
    },
    model::{CallIdentity, Interpreter},
};
pub use steadfast_egress::EgressPolicy;

/// Publishes the events of a model's stream as a model call does, and waits for the log writer.
pub async fn publish_stream(log: EventLog, revision: &AgentRevisionSpec, api: ModelApi, events: Vec<Value>) {
    let call = CallIdentity {
        task_id: "task",
        agent: &revision.agent,
        call_path: "",
        turn: 1,
        step: 0,
    };
    let scope = WriterScope {
        log: LogId::new("task", "run"),
        runs: ("run".to_owned(), String::new()),
        expiry: None,
        producer: "producer".to_owned(),
        outbox_producer: "outbox".to_owned(),
        end_producer: "end".to_owned(),
        turn: 1,
        attempt: 1,
        agent: revision.agent.clone(),
        path: String::new(),
        cursor: None,
    };
    let writer = LogWriters::new(log).start(scope, OutboxEvents::none());
    let mut interpreter = Interpreter::new(api, call);
    let mut gate = OutputGate::new(revision);
    for event in events {
        for event in interpreter.read(event, jiff::Timestamp::UNIX_EPOCH) {
            if let Some(event) = gate.filter(event) {
                writer.publish(event);
            }
        }
    }
    for event in interpreter.close(jiff::Timestamp::UNIX_EPOCH) {
        if let Some(event) = gate.filter(event) {
            writer.publish(event);
        }
    }
    writer.finish().await;
}

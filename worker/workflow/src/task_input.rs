//! The input of a run. The reason why one cannot be read is shown in Temporal's UI, which the SDK
//! does not do for an input that it cannot convert.

use serde::Deserialize;
use temporalio_workflow::common::{
    data_converters::{PayloadConversionError, SerializationContext, TemporalDeserializable, TemporalSerializable},
    protos::temporal::api::common::v1::Payload,
};

use steadfast_contract::start::{SCHEMA_VERSION, StartTask};
use steadfast_payload::{Packed, UnpackError, unpack};

#[derive(Debug)]
pub struct TaskInput(pub Result<StartTask, UnreadableInput>);

#[derive(Debug, thiserror::Error)]
pub enum UnreadableInput {
    #[error("the task's state has schema version {0}, this worker reads up to {SCHEMA_VERSION}: run a newer worker")]
    Newer(u32),
    #[error("the task's state cannot be read: {0}")]
    Corrupt(UnpackError),
}

impl From<StartTask> for TaskInput {
    fn from(start: StartTask) -> Self {
        Self(Ok(start))
    }
}

impl TemporalSerializable for TaskInput {
    fn to_payload(&self, context: &SerializationContext<'_>) -> Result<Payload, PayloadConversionError> {
        match &self.0 {
            Ok(start) => Packed(start).to_payload(context),
            Err(error) => Err(PayloadConversionError::EncodingError(error.to_string().into())),
        }
    }
}

impl TemporalDeserializable for TaskInput {
    fn from_payload(_: &SerializationContext<'_>, payload: Payload) -> Result<Self, PayloadConversionError> {
        Ok(Self(read(&payload)))
    }
}

fn read(payload: &Payload) -> Result<StartTask, UnreadableInput> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: u32,
    }
    let (start, version) = match unpack::<StartTask>(payload) {
        Ok(start) => {
            let version = start.schema_version;
            (Ok(start), version)
        }
        // A newer release may write a different shape.
        Err(error) => {
            let version = unpack::<Versioned>(payload).map_or(0, |versioned| versioned.schema_version);
            (Err(error), version)
        }
    };
    if version > SCHEMA_VERSION {
        return Err(UnreadableInput::Newer(version));
    }
    start.map_err(UnreadableInput::Corrupt)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::{Map, Value, json};
    use steadfast_agent_loop::{Body, CallKind, ModelText, Segment, ToolOutput, UserContent};
    use steadfast_bounds::json::{self, MAXIMUM_DEPTH};
    use steadfast_contract::{
        activities::NewSegment,
        mcp::McpInputRequest,
        signals::ReceiveEvent,
        start::StartTask,
        tool_calls::{CallProgress, FinishedCall, OutputSource},
    };
    use steadfast_events::Content;
    use steadfast_payload::{foreign_result, pack, plain_json, unpack};

    use super::*;
    use crate::{NoSink, task::Task};

    /// JSON whose depth is that of its wrappings and a little more: within the limit and beyond it.
    fn any_json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            // As it is read: serde_json writes 1e16 and reads 1e+16.
            any::<f64>().prop_map(|float| json::read_or_text(Value::from(float).to_string())),
            ".*".prop_map(Value::from),
        ];
        let value = scalar.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..4).prop_map(|members| Value::Object(Map::from_iter(members))),
            ]
        });
        let wrappings = prop::collection::vec(any::<bool>(), 0..=MAXIMUM_DEPTH + 2);
        (value, wrappings).prop_map(|(value, wrappings)| {
            wrappings.into_iter().fold(value, |inner, in_object| {
                if in_object {
                    json!({ "in": inner })
                } else {
                    json!([inner])
                }
            })
        })
    }

    fn now() -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn output(content: Value) -> ToolOutput {
        ToolOutput {
            call_id: "c".to_owned(),
            name: "t".to_owned(),
            content,
            is_error: false,
            kind: CallKind::default(),
            text: ModelText::default(),
        }
    }

    /// A task that has taken in `value` wherever JSON from outside is kept.
    fn task_with(value: &Value) -> Task {
        let mut start = StartTask::new("t", "default", "haiku");
        start.params = value.clone();
        let mut task = Task::new(start, "r", Arc::new(NoSink), now());
        let message = ReceiveEvent {
            message_id: "m".to_owned(),
            idempotency_key: None,
            content: Content::Data { data: value.clone() },
            sender: String::new(),
        };
        task.receive(message, now());
        let bodies = [
            Body::User {
                message_id: "u".to_owned(),
                idempotency_key: None,
                content: UserContent::Data(value.clone()),
                sender: String::new(),
            },
            Body::Model {
                items: vec![json!({ "type": "message", "content": value })],
                agent: String::new(),
                origin: String::new(),
            },
            Body::Tool {
                index: 0,
                output: output(value.clone()),
                by_task: true,
            },
        ];
        for body in bodies {
            task.append_segment(Segment {
                turn: 1,
                step: 0,
                at: now(),
                body,
            });
        }
        let finished = FinishedCall {
            output: output(value.clone()),
            source: OutputSource::Task,
            fails_turn: None,
            handoff_to: None,
            suppressed: false,
            interval: None,
        };
        task.state.finished_calls.insert(0, finished);
        let asked = McpInputRequest {
            prompt: "Which?".to_owned(),
            form: value.clone(),
            state: json!({ "earlier": [value] }),
            keys: Vec::new(),
        };
        let progress = CallProgress {
            asked: Some(asked),
            ..CallProgress::default()
        };
        task.state.call_progress.insert(1, progress);
        task
    }

    fn carried(start: &StartTask) -> StartTask {
        let payload = pack(start).unwrap();
        read(&payload).unwrap()
    }

    /// What a run leaves, without what it knows of its own history.
    fn written(start: &StartTask) -> Value {
        serde_json::to_value(start).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_json_that_is_let_in_is_carried_to_the_next_run_unchanged(value in any_json()) {
            // Every way in: text that is parsed, a value of a library, the result of an activity.
            let let_in = json::read_or_text(value.to_string());
            prop_assert_eq!(&let_in, &json::or_text(value.clone()));
            prop_assert_eq!(&let_in, &foreign_result(&[plain_json(&value).unwrap()]).unwrap());

            let first = task_with(&let_in);
            let next = carried(&first.continue_as_new().start);
            prop_assert_eq!(written(&next), written(&first.continue_as_new().start));
            // And once more: nothing is added on the way.
            let second = Task::new(next, "r2", Arc::new(NoSink), now());
            prop_assert_eq!(written(&carried(&second.continue_as_new().start)), written(&first.continue_as_new().start));
            let kept: Vec<&Segment> = second.state.transcript.segments().collect();
            prop_assert_eq!(kept, first.state.transcript.segments().collect::<Vec<_>>());

            // As a page of a state that is too large for the input of a run.
            let page: Vec<Segment> = first.state.transcript.segments().cloned().collect();
            prop_assert_eq!(unpack::<Vec<Segment>>(&pack(&page).unwrap()).unwrap(), &page[..]);
            let new: Vec<NewSegment> = page.into_iter().map(|segment| NewSegment::Whole(Box::new(segment))).collect();
            prop_assert_eq!(unpack::<Vec<NewSegment>>(&pack(&new).unwrap()).unwrap(), new);
        }
    }

    #[test]
    fn a_state_deeper_than_serde_json_reads_is_carried() {
        let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
        let task = task_with(&deep);
        assert_eq!(
            written(&carried(&task.continue_as_new().start)),
            written(&task.continue_as_new().start)
        );
    }
}

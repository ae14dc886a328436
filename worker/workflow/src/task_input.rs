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

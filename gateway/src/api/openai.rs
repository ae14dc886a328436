//! OpenAI's APIs below `/v1`. A conversation is a task, a response is a turn, a model is an agent.

pub(super) mod agents;
pub(super) mod chat;
pub(super) mod conversations;
mod envelope;
pub(super) mod files;
pub(super) mod models;
pub(super) mod responses;
pub(super) mod sessions;

use serde_json::{Map, Value};

pub(super) use self::envelope::envelope;
use crate::{attachments, error::ApiError, openai::input::InputError, start::MAX_METADATA_BYTES};

/// What ends a stream.
const DONE: &str = "[DONE]";

/// The input in the field `param` is refused.
fn input_error(error: InputError, param: &'static str) -> ApiError {
    let refused = match error {
        InputError::Attachment(refusal) => attachments::refused(refusal),
        error => ApiError::bad_request(error.to_string()),
    };
    refused.param(param)
}

/// The metadata of a task.
fn read_metadata(metadata: Option<Map<String, Value>>) -> Result<Option<Value>, ApiError> {
    let metadata = metadata.map(Value::Object);
    match &metadata {
        Some(metadata) if metadata.to_string().len() > MAX_METADATA_BYTES => {
            Err(ApiError::too_large(format!("metadata is at most {MAX_METADATA_BYTES} bytes long")).param("metadata"))
        }
        _ => Ok(metadata),
    }
}

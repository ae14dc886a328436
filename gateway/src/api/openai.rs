//! OpenAI's APIs below `/v1`. A conversation is a task, a response is a turn, a model is an agent.

pub(super) mod agents;
pub(super) mod chat;
pub(super) mod conversations;
mod envelope;
pub(super) mod models;
pub(super) mod responses;
pub(super) mod sessions;

use serde_json::{Map, Value};

pub(super) use self::envelope::envelope;
use crate::{error::ApiError, start::MAX_METADATA_BYTES};

/// What ends a stream.
const DONE: &str = "[DONE]";

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

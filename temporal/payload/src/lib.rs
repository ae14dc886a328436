//! Payloads of our own workflows and activities: plain JSON when small, zstd-compressed JSON when
//! large. Foreign activities and child workflows always get plain JSON.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use temporalio_common_wasm::{
    data_converters::{PayloadConversionError, SerializationContext, TemporalDeserializable, TemporalSerializable},
    protos::temporal::api::common::v1::Payload,
};

/// JSON above this size is compressed.
const COMPRESS_ABOVE_BYTES: usize = 8 * 1024;
/// Largest JSON that a payload may unpack to, so that a corrupt one cannot exhaust memory.
const UNPACKED_LIMIT_BYTES: usize = 256 * 1024 * 1024;
const ENCODING: &str = "encoding";
const PLAIN: &[u8] = b"json/plain";
const ZSTD: &[u8] = b"json/zstd";
const NULL: &[u8] = b"binary/null";
const LEVEL: i32 = 1;

/// A value that travels as one payload, compressed when that pays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed<T>(pub T);

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("unknown payload encoding {0:?}")]
    UnknownEncoding(String),
    #[error("compress or decompress a payload: {0}")]
    Zstd(std::io::Error),
    #[error("read the JSON of a payload: {0}")]
    Json(serde_json::Error),
}

/// Turns a value into a payload.
pub fn pack<T: Serialize>(value: &T) -> Result<Payload, UnpackError> {
    let json = serde_json::to_vec(value).map_err(UnpackError::Json)?;
    let (encoding, data) = if json.len() > COMPRESS_ABOVE_BYTES {
        (ZSTD, zstd::bulk::compress(&json, LEVEL).map_err(UnpackError::Zstd)?)
    } else {
        (PLAIN, json)
    };
    Ok(Payload {
        metadata: [(ENCODING.to_owned(), encoding.to_vec())].into(),
        data,
        ..Payload::default()
    })
}

/// How many bytes a value takes as a payload.
pub fn packed_size<T: Serialize>(value: &T) -> usize {
    pack(value).map_or(0, |payload| payload.data.len())
}

/// The JSON text inside a payload of ours or of a plain JSON converter.
pub fn unpack_json(payload: &Payload) -> Result<Vec<u8>, UnpackError> {
    match payload.metadata.get(ENCODING).map(Vec::as_slice) {
        Some(PLAIN) => Ok(payload.data.clone()),
        Some(ZSTD) => {
            zstd::bulk::decompress(&payload.data, unpacked_capacity(&payload.data)).map_err(UnpackError::Zstd)
        }
        None | Some(NULL) => Ok(b"null".to_vec()),
        Some(other) => Err(UnpackError::UnknownEncoding(
            String::from_utf8_lossy(other).into_owned(),
        )),
    }
}

/// Reads a value back.
pub fn unpack<T: DeserializeOwned>(payload: &Payload) -> Result<T, UnpackError> {
    serde_json::from_slice(&unpack_json(payload)?).map_err(UnpackError::Json)
}

fn unpacked_capacity(compressed: &[u8]) -> usize {
    match zstd::zstd_safe::get_frame_content_size(compressed) {
        Ok(Some(size)) => usize::try_from(size)
            .unwrap_or(UNPACKED_LIMIT_BYTES)
            .min(UNPACKED_LIMIT_BYTES),
        _ => UNPACKED_LIMIT_BYTES,
    }
}

impl<T: Serialize> TemporalSerializable for Packed<T> {
    fn to_payload(&self, _: &SerializationContext<'_>) -> Result<Payload, PayloadConversionError> {
        pack(&self.0).map_err(|error| PayloadConversionError::EncodingError(error.into()))
    }
}

impl<T: DeserializeOwned> TemporalDeserializable for Packed<T> {
    fn from_payload(_: &SerializationContext<'_>, payload: Payload) -> Result<Self, PayloadConversionError> {
        unpack(&payload)
            .map(Packed)
            .map_err(|error| PayloadConversionError::EncodingError(error.into()))
    }
}

/// The result of an activity in any language, as JSON.
pub fn foreign_result(payloads: &[Payload]) -> Value {
    let Some(payload) = payloads.first() else {
        return Value::Null;
    };
    unpack(payload)
        .unwrap_or_else(|error| Value::String(format!("[the tool's result cannot be read: {error}; answer with JSON]")))
}

/// A value as plain JSON, which the default converter of every Temporal SDK reads.
pub fn plain_json<T: Serialize>(value: &T) -> Result<Payload, serde_json::Error> {
    Ok(Payload {
        metadata: [(ENCODING.to_owned(), PLAIN.to_vec())].into(),
        data: serde_json::to_vec(value)?,
        ..Payload::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_stay_plain_json() {
        let payload = pack(&"hello").unwrap();
        assert_eq!(payload.metadata[ENCODING], PLAIN);
        assert_eq!(payload.data, b"\"hello\"");
    }

    #[test]
    fn large_values_are_compressed_and_come_back() {
        let text = "durable ".repeat(10_000);
        let payload = pack(&text).unwrap();
        assert!(payload.data.len() < text.len() / 10);
        assert_eq!(unpack::<String>(&payload).unwrap(), text);
    }

    #[test]
    fn an_unknown_encoding_is_named_in_the_error() {
        let payload = Payload {
            metadata: [(ENCODING.to_owned(), b"binary/secret".to_vec())].into(),
            ..Payload::default()
        };
        assert_eq!(
            unpack::<String>(&payload).unwrap_err().to_string(),
            "unknown payload encoding \"binary/secret\""
        );
    }
}

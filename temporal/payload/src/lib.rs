//! Payloads of our own workflows and activities: plain JSON when small, zstd-compressed JSON when
//! large. Foreign activities and child workflows always get plain JSON.
//!
//! Encryption happens later, at the border to the server (`steadfast-temporal`). It encrypts every
//! payload except the marked ones of [`foreign_json`].

use std::borrow::Cow;

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use steadfast_bounds::json::{self, ReadError};
use temporalio_common_wasm::{
    data_converters::{PayloadConversionError, SerializationContext, TemporalDeserializable, TemporalSerializable},
    protos::temporal::api::{common::v1::Payload, failure::v1::Failure},
};

/// Metadata of an encrypted payload: the id of its key. This name and [`ENCRYPTED`] are those of Temporal's samples.
pub const ENCRYPTION_KEY_ID: &str = "encryption-key-id";
/// Metadata of every payload: how its data are written.
pub const ENCODING: &str = "encoding";
/// The encoding of an encrypted payload.
pub const ENCRYPTED: &[u8] = b"binary/encrypted";

/// JSON above this size is compressed.
const COMPRESS_ABOVE_BYTES: usize = 8 * 1024;
/// Largest JSON that a payload may unpack to, so that a corrupt one cannot exhaust memory.
const UNPACKED_LIMIT_BYTES: usize = 256 * 1024 * 1024;
const PLAIN: &[u8] = b"json/plain";
const ZSTD: &[u8] = b"json/zstd";
const PROTOBUF_JSON: &[u8] = b"json/protobuf";
const NULL: &[u8] = b"binary/null";
const LEVEL: i32 = 1;
/// Marks a payload for a program that is not ours. Never reaches the server.
const FOREIGN: &str = "steadfast-foreign";

/// What one payload of a command, a signal or a result may hold. What is larger travels by reference, in parts, or
/// not at all: Temporal refuses 2 MiB, and ends a workflow whose command holds more.
pub const PAYLOAD_LIMIT_BYTES: usize = 1024 * 1024;

/// A value that travels as one payload, compressed when that pays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed<T>(pub T);

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("unknown payload encoding {0:?}")]
    UnknownEncoding(String),
    #[error(
        "it is encrypted with the key {key_id:?}, which this program does not have, or it was changed; add the key to the encryption keys"
    )]
    Encrypted { key_id: String },
    #[error("compress or decompress a payload: {0}")]
    Zstd(io::Error),
    #[error("write the JSON of a payload: {0}")]
    Write(serde_json::Error),
    #[error("read the JSON of a payload: {0}")]
    Read(ReadError),
}

/// Turns a value into a payload.
pub fn pack<T: Serialize>(value: &T) -> Result<Payload, UnpackError> {
    let json = serde_json::to_vec(value).map_err(UnpackError::Write)?;
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

/// How many bytes a value takes as a payload: exactly where that is more than [`PAYLOAD_LIMIT_BYTES`], and otherwise at
/// most what is returned, which is then the same for every version of the compression.
pub fn bounded_size<T: Serialize>(value: &T) -> usize {
    let json = json_size(value);
    if json <= PAYLOAD_LIMIT_BYTES {
        json
    } else {
        packed_size(value)
    }
}

/// How many bytes a value takes as JSON.
pub fn json_size<T: Serialize>(value: &T) -> usize {
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => 0,
    }
}

/// Counts the bytes that are written.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a value from JSON text of our own.
pub fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, UnpackError> {
    json::read_own(text.as_bytes()).map_err(UnpackError::Read)
}

/// The JSON text inside a payload of ours or of a plain JSON converter.
pub fn unpack_json(payload: &Payload) -> Result<Vec<u8>, UnpackError> {
    match payload.metadata.get(ENCODING).map(Vec::as_slice) {
        Some(PLAIN) => Ok(payload.data.clone()),
        Some(ZSTD) => {
            zstd::bulk::decompress(&payload.data, unpacked_capacity(&payload.data)).map_err(UnpackError::Zstd)
        }
        None | Some(NULL) => Ok(b"null".to_vec()),
        Some(ENCRYPTED) => Err(UnpackError::Encrypted {
            key_id: encryption_key_id(payload).into_owned(),
        }),
        Some(other) => Err(UnpackError::UnknownEncoding(
            String::from_utf8_lossy(other).into_owned(),
        )),
    }
}

/// Reads a value back, however deep what it carries.
pub fn unpack<T: DeserializeOwned>(payload: &Payload) -> Result<T, UnpackError> {
    json::read_own(&unpack_json(payload)?).map_err(UnpackError::Read)
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

/// Why the result of a program that is not ours cannot be read. The program has run all the same.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableResult {
    /// Its payload is no JSON.
    #[error("the result of the tool has the encoding {0:?}, which is no JSON: return text, numbers, lists and objects")]
    Encoding(String),
    /// The JSON is malformed.
    #[error("the result of the tool is no JSON: {0}")]
    Json(ReadError),
    /// The payload cannot be unpacked.
    #[error("the result of the tool cannot be read: {0}")]
    Payload(UnpackError),
}

/// The result of an activity in any language, as JSON. JSON that is too deep to be let in is its own text.
pub fn foreign_result(payloads: &[Payload]) -> Result<Value, UnreadableResult> {
    let Some(payload) = payloads.first() else {
        return Ok(Value::Null);
    };
    let encoding = payload.metadata.get(ENCODING).map(Vec::as_slice);
    let text = match encoding {
        // The JSON form of a protocol buffer.
        Some(PROTOBUF_JSON) => payload.data.clone(),
        None if !payload.data.is_empty() => return Err(UnreadableResult::Encoding(String::new())),
        _ => unpack_json(payload).map_err(|error| match error {
            UnpackError::UnknownEncoding(encoding) => UnreadableResult::Encoding(encoding),
            error => UnreadableResult::Payload(error),
        })?,
    };
    match json::read_foreign(&text) {
        Err(ReadError::TooDeep { .. }) => Ok(Value::String(String::from_utf8_lossy(&text).into_owned())),
        read => read.map_err(UnreadableResult::Json),
    }
}

/// The payload in a form that everybody reads: compressed JSON becomes plain JSON.
pub fn plain_form(payload: Payload) -> Payload {
    if payload.metadata.get(ENCODING).map(Vec::as_slice) != Some(ZSTD) {
        return payload;
    }
    match unpack_json(&payload) {
        Ok(data) => Payload {
            metadata: [(ENCODING.to_owned(), PLAIN.to_vec())].into(),
            data,
            ..Payload::default()
        },
        Err(_) => payload,
    }
}

/// A value as plain JSON, which the default converter of every Temporal SDK reads.
pub fn plain_json<T: Serialize>(value: &T) -> Result<Payload, serde_json::Error> {
    Ok(Payload {
        metadata: [(ENCODING.to_owned(), PLAIN.to_vec())].into(),
        data: serde_json::to_vec(value)?,
        ..Payload::default()
    })
}

/// The same for a program that is not ours, such as an activity in another language: never compressed and never
/// encrypted.
pub fn foreign_json<T: Serialize>(value: &T) -> Result<Payload, serde_json::Error> {
    let mut payload = plain_json(value)?;
    payload.metadata.insert(FOREIGN.to_owned(), Vec::new());
    Ok(payload)
}

/// Whether the payload is for a program that is not ours. Removes the mark.
pub fn take_foreign_mark(payload: &mut Payload) -> bool {
    payload.metadata.remove(FOREIGN).is_some()
}

/// The id of the key that a payload is encrypted with; empty when it has none.
pub fn encryption_key_id(payload: &Payload) -> Cow<'_, str> {
    let id = payload.metadata.get(ENCRYPTION_KEY_ID).map(Vec::as_slice);
    String::from_utf8_lossy(id.unwrap_or_default())
}

/// The message of a failure. With encryption the server keeps it apart from the failure, as one more payload.
pub fn failure_message(failure: &Failure) -> Cow<'_, str> {
    #[derive(serde::Deserialize)]
    struct CommonAttributes {
        message: String,
    }
    match &failure.encoded_attributes {
        Some(payload) => match unpack::<CommonAttributes>(payload) {
            Ok(attributes) => Cow::Owned(attributes.message),
            Err(error) => Cow::Owned(format!("[the message cannot be read: {error}]")),
        },
        None => Cow::Borrowed(&failure.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_for_a_foreign_program_is_marked_until_the_border() {
        let mut payload = foreign_json(&"hello").unwrap();
        assert!(take_foreign_mark(&mut payload));
        assert_eq!(payload, plain_json(&"hello").unwrap());
        assert!(!take_foreign_mark(&mut payload));
        assert!(!take_foreign_mark(&mut pack(&"hello").unwrap()));
    }

    #[test]
    fn an_encrypted_payload_is_refused_with_the_id_of_its_key() {
        let payload = Payload {
            metadata: [
                (ENCODING.to_owned(), ENCRYPTED.to_vec()),
                (ENCRYPTION_KEY_ID.to_owned(), b"2026-11".to_vec()),
            ]
            .into(),
            ..Payload::default()
        };
        let error = unpack::<String>(&payload).unwrap_err().to_string();
        assert!(error.contains("the key \"2026-11\""), "{error}");
    }

    #[test]
    fn the_message_of_a_failure_is_read_from_its_attributes() {
        let mut failure = Failure {
            message: "plain".to_owned(),
            ..Failure::default()
        };
        assert_eq!(failure_message(&failure), "plain");
        let attributes = serde_json::json!({"message": "encoded", "stack_trace": ""});
        failure.encoded_attributes = Some(plain_json(&attributes).unwrap());
        assert_eq!(failure_message(&failure), "encoded");
    }

    #[test]
    fn a_foreign_result_is_its_json_and_anything_else_is_an_error() {
        let result = |encoding: &str, data: &[u8]| {
            let payload = Payload {
                metadata: [(ENCODING.to_owned(), encoding.as_bytes().to_vec())].into(),
                data: data.to_vec(),
                ..Payload::default()
            };
            foreign_result(&[payload])
                .map(|value| value.to_string())
                .map_err(|error| error.to_string())
        };
        for (encoding, data, expected) in [
            (
                "json/plain",
                &b"[100000000000000000001, 1.10]"[..],
                "[100000000000000000001,1.10]",
            ),
            ("json/plain", br#"{"mean": NaN, "n": 3}"#, r#"{"mean":"NaN","n":3}"#),
            ("json/protobuf", br#"{"n": 3}"#, r#"{"n":3}"#),
            ("binary/null", b"", "null"),
        ] {
            assert_eq!(result(encoding, data).unwrap(), expected);
        }
        for (encoding, data, expected) in [
            ("binary/plain", &b"\x00\x01"[..], "has the encoding \"binary/plain\""),
            ("binary/protobuf", b"\x08\x01", "has the encoding \"binary/protobuf\""),
            ("binary/encrypted", b"x", "is encrypted with the key"),
            ("json/plain", b"{oops", "is no JSON"),
            ("json/plain", b"", "is no JSON"),
        ] {
            let error = result(encoding, data).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let bare = Payload {
            data: vec![1],
            ..Payload::default()
        };
        assert!(foreign_result(&[bare]).is_err());
        assert_eq!(foreign_result(&[Payload::default()]).unwrap(), Value::Null);
        assert_eq!(foreign_result(&[]).unwrap(), Value::Null);
    }

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
    fn a_size_is_never_less_than_the_payload_takes() {
        for text in [
            "short".to_owned(),
            "durable ".repeat(10_000),
            "durable ".repeat(1_000_000),
        ] {
            let size = bounded_size(&text);
            assert!(size >= packed_size(&text), "{size}");
            assert!(size <= PAYLOAD_LIMIT_BYTES, "{size}");
        }
        assert_eq!(json_size(&"hello"), 7);
    }

    #[test]
    fn a_value_comes_back_however_deep_it_is() {
        let deep = (0..300).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert_eq!(unpack::<Value>(&pack(&deep).unwrap()).unwrap(), deep);
    }

    #[test]
    fn a_result_that_is_too_deep_is_its_text() {
        let nested = |depth| (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        let within = nested(json::MAXIMUM_DEPTH);
        assert_eq!(foreign_result(&[pack(&within).unwrap()]).unwrap(), within);
        let beyond = nested(json::MAXIMUM_DEPTH + 1);
        assert_eq!(
            foreign_result(&[pack(&beyond).unwrap()]).unwrap(),
            Value::String(beyond.to_string())
        );
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

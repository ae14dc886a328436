//! From the JSON of one object to a typed value, or to a reason that people can
//! act on.

use std::fmt;

use kube::{Resource, ResourceExt as _, runtime::watcher::Event};
use serde::de::DeserializeOwned;

use crate::RawObject;

/// The longest reason: the parser repeats the value that it refuses, which may be as long as the object.
const MAXIMUM_REASON_BYTES: usize = 256;

/// Why an object cannot be decoded as its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl DecodeError {
    fn of(path: &serde_path_to_error::Path, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // Every object is valid JSON, so this is the only fault of the syntax that an object can have.
        if error.is_syntax() && text.starts_with("recursion limit exceeded") {
            return Self(
                "it is nested too deeply: objects and lists inside each other, more than 127 levels".to_owned(),
            );
        }
        // The position is that in the API server's answer, which nobody sees.
        let reason = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(reason, _)| reason);
        Self(shorten(format!("{path}: {reason}"), MAXIMUM_REASON_BYTES))
    }
}

impl RawObject {
    /// The object as the type `K`, without `managedFields`.
    pub fn decode<K: Resource + DeserializeOwned>(&self) -> Result<K, DecodeError> {
        let mut object: K = self.decode_part()?;
        object.meta_mut().managed_fields = None;
        Ok(object)
    }

    /// The object as a type that holds only some of its fields. The fields that `T` does not have may hold anything.
    pub fn decode_part<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let mut deserializer = serde_json::Deserializer::from_str(self.json());
        serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| DecodeError::of(error.path(), error.inner()))
    }
}

/// The same event with the object decoded. An object that cannot be decoded is logged and left out: `None`.
pub fn decode_event<K, E: fmt::Display>(
    kind: &str,
    event: Event<RawObject>,
    decode: impl FnOnce(RawObject) -> Result<K, E>,
) -> Option<Event<K>> {
    let decode = |object: RawObject| {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        decode(object)
            .inspect_err(
                |error| tracing::warn!(kind, namespace, name, %error, "skipping an object that cannot be decoded"),
            )
            .ok()
    };
    Some(match event {
        Event::Apply(object) => Event::Apply(decode(object)?),
        Event::Delete(object) => Event::Delete(decode(object)?),
        Event::InitApply(object) => Event::InitApply(decode(object)?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}

fn shorten(mut text: String, maximum_bytes: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() > maximum_bytes {
        text.truncate(text.floor_char_boundary(maximum_bytes - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn object(json: &serde_json::Value) -> RawObject {
        serde_json::from_str(&json.to_string()).unwrap()
    }

    fn config_map(data: &serde_json::Value) -> RawObject {
        object(&json!({
            "metadata": {
                "name": "a", "namespace": "team", "resourceVersion": "7", "labels": { "x": "y" },
                "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:data": {} } }],
            },
            "data": data,
        }))
    }

    #[test]
    fn an_object_is_decoded_without_its_managed_fields() {
        let object: ConfigMap = config_map(&json!({ "key": "value" })).decode().unwrap();
        assert_eq!(object.data.unwrap()["key"], "value");
        assert_eq!(object.metadata.managed_fields, None);
        assert_eq!(object.metadata.labels.unwrap()["x"], "y");
    }

    #[test]
    fn the_reason_names_the_field_and_is_short() {
        let error = config_map(&json!({ "key": ["x"] })).decode::<ConfigMap>().unwrap_err();
        assert_eq!(error.to_string(), "data.key: invalid type: sequence, expected a string");
        let long = object(&json!({ "metadata": { "name": "a" }, "data": "v".repeat(10_000) }));
        let error = long.decode::<ConfigMap>().unwrap_err().to_string();
        assert!(error.starts_with("data: invalid type: string \"vvv"), "{error}");
        assert!(error.len() <= MAXIMUM_REASON_BYTES, "{}", error.len());
    }

    #[test]
    fn an_object_with_an_unreadable_part_has_its_metadata_and_its_other_parts() {
        #[derive(serde::Deserialize)]
        struct Part {
            data: std::collections::BTreeMap<String, String>,
        }
        let object = object(&json!({
            "metadata": { "name": "a", "namespace": "team" },
            "spec": (0..200).fold(json!("many"), |inner, _| json!([inner])),
            "data": { "key": "value" },
        }));
        assert_eq!(object.name_any(), "a");
        assert_eq!(object.decode_part::<Part>().unwrap().data["key"], "value");
    }
}

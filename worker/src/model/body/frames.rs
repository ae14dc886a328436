//! The frames of an event stream, as the reader above takes them: each is one line
//! of JSON. Pure.

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use steadfast_bounds::json as bounds;
use steadfast_crds::model::ModelApi;

use crate::{failure::CallFailure, model::failures::too_deep};

/// The frame for the end of a response: `[DONE]` as JSON. The interpreters know it.
pub(super) const DONE: &str = "\"[DONE]\"";
/// A field of event streams that llama.cpp's server had until 2025, with the error as its value.
const ERROR_FIELD: &str = "error:";
const ERROR_EVENT: &str = "event: error\ndata:";

/// The frames of one event: none if it says nothing.
pub(super) fn frames_of(event: &str, data: &str, api: ModelApi) -> Result<Vec<String>, CallFailure> {
    bounds::check_text(data.as_bytes()).map_err(|_| too_deep())?;
    let data = bare(data);
    if let Some(frame) = frame_of(event, data, api) {
        return Ok(vec![frame]);
    }
    if data.is_empty() {
        return Ok(Vec::new());
    }
    // Some servers forget the empty line between two events.
    let lines: Option<Vec<String>> = data.lines().map(|line| frame_of("", bare(line), api)).collect();
    Ok(lines.unwrap_or_else(|| {
        vec![match event {
            "error" => json!({"error": {"message": data}}).to_string(),
            // Words for people: the interpreter keeps them for its failure.
            _ => json!(data).to_string(),
        }]
    }))
}

/// Proxies that add the field's name to a frame that has it already.
fn bare(data: &str) -> &str {
    let data = data.trim();
    data.strip_prefix("data:").map_or(data, str::trim)
}

/// The frame, if the data is JSON or the end of the response.
fn frame_of(event: &str, data: &str, api: ModelApi) -> Option<String> {
    if data.trim_matches('"').eq_ignore_ascii_case("[DONE]") {
        return Some(DONE.to_owned());
    }
    if serde_json::from_str::<IgnoredAny>(data).is_err() {
        // Servers in Python write NaN and Infinity, for instance as the probability of a token.
        let mended = data
            .starts_with('{')
            .then(|| bounds::read_foreign(data.as_bytes()).ok());
        return frame_of(event, &mended.flatten()?.to_string(), api);
    }
    let lacks_type = api == ModelApi::Responses && !event.is_empty() && !data.contains("\"type\"");
    if event != "error" && !lacks_type {
        // A line end within JSON is blank space.
        return Some(data.replace(['\r', '\n'], " "));
    }
    let mut value: Value = serde_json::from_str(data).ok()?;
    if event == "error" && value["error"].is_null() && value["type"] != "error" {
        return Some(json!({ "error": value }).to_string());
    }
    if let Value::Object(members) = &mut value
        && lacks_type
    {
        members.insert("type".to_owned(), json!(event));
    }
    Some(value.to_string())
}

/// Turns the field `error:` into an event of that name, which every reader knows.
#[derive(Default)]
pub(super) struct ErrorFields {
    is_within_line: bool,
    /// The beginning of a line that may become the field's name.
    held: String,
}

impl ErrorFields {
    /// Reads the next piece of the stream.
    pub(super) fn push(&mut self, piece: &str) -> String {
        let text = std::mem::take(&mut self.held) + piece;
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while !rest.is_empty() {
            if !self.is_within_line {
                if let Some(value) = rest.strip_prefix(ERROR_FIELD) {
                    replaced.push_str(ERROR_EVENT);
                    rest = value;
                } else if ERROR_FIELD.starts_with(rest) {
                    rest.clone_into(&mut self.held);
                    break;
                }
                self.is_within_line = true;
            }
            let end = rest.find(['\r', '\n']).map(|at| at + 1);
            self.is_within_line = end.is_none();
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            replaced.push_str(line);
            rest = after;
        }
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(event: &str, data: &str) -> Vec<String> {
        frames_of(event, data, ModelApi::ChatCompletions).unwrap()
    }

    #[test]
    fn an_event_is_a_line_of_json() {
        for (data, frames) in [
            (r#"{"a": 1}"#, vec![r#"{"a": 1}"#]),
            ("{\"a\":\n 1}", vec![r#"{"a":  1}"#]),
            (" [DONE] ", vec![DONE]),
            ("[done]", vec![DONE]),
            ("\"[DONE]\"", vec![DONE]),
            ("", vec![]),
            ("data: {\"a\": 1}", vec![r#"{"a": 1}"#]),
            ("{\"a\": 1}\n{\"b\": 2}", vec![r#"{"a": 1}"#, r#"{"b": 2}"#]),
            ("{\"a\": 1}\ndata: [DONE]", vec![r#"{"a": 1}"#, DONE]),
            ("upstream went away", vec!["\"upstream went away\""]),
            (
                r#"{"a": "Hi", "logprob": -Infinity}"#,
                vec![r#"{"a":"Hi","logprob":"-Infinity"}"#],
            ),
            ("{oops}", vec![r#""{oops}""#]),
        ] {
            assert_eq!(chat("", data), frames, "{data}");
        }
    }

    #[test]
    fn an_event_named_error_is_an_error_whatever_its_data() {
        for (data, frame) in [
            (r#"{"error": {"message": "no"}}"#, json!({"error": {"message": "no"}})),
            (r#"{"message": "no"}"#, json!({"error": {"message": "no"}})),
            (
                r#"{"type": "error", "error": {"message": "no"}}"#,
                json!({"type": "error", "error": {"message": "no"}}),
            ),
            (
                "Internal Server Error",
                json!({"error": {"message": "Internal Server Error"}}),
            ),
        ] {
            assert_eq!(chat("error", data), [frame.to_string()], "{data}");
        }
    }

    #[test]
    fn an_event_of_the_responses_api_has_its_type() {
        let frames = |data: &str| frames_of("response.completed", data, ModelApi::Responses).unwrap();
        assert_eq!(
            frames(r#"{"response":{}}"#),
            [r#"{"response":{},"type":"response.completed"}"#]
        );
        assert_eq!(frames(r#"{"type":"x"}"#), [r#"{"type":"x"}"#]);
    }

    #[test]
    fn json_that_is_too_deep_is_never_read() {
        let data = "[".repeat(100) + &"]".repeat(100);
        let failure = frames_of("", &data, ModelApi::Responses).unwrap_err();
        assert_eq!(failure.category, "model_output_too_deep");
    }

    #[test]
    fn the_field_error_is_an_event_wherever_it_is_cut() {
        let stream = "data: {\"error:\": 1}\r\n\r\nerror: {\"code\": 400}\n\nerr\rdata: 1\n\n";
        let expected = "data: {\"error:\": 1}\r\n\r\nevent: error\ndata: {\"code\": 400}\n\nerr\rdata: 1\n\n";
        for at in 0..stream.len() {
            let mut fields = ErrorFields::default();
            let (one, other) = stream.split_at(at);
            assert_eq!(fields.push(one) + &fields.push(other), expected, "{at}");
        }
    }
}

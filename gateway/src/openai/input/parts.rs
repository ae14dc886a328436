//! The content of a message in the forms of OpenAI's APIs: a text, or parts with texts, images and files.

use serde_json::Value;
use steadfast_attachments::{Detail, Given, Kind};

use super::InputError;

/// The texts, joined, and what comes along.
pub(super) fn read(content: &Value) -> Result<(String, Vec<Given>), InputError> {
    match content {
        Value::String(text) => Ok((text.clone(), Vec::new())),
        // An assistant message of a chat that only called tools.
        Value::Null => Ok((String::new(), Vec::new())),
        Value::Array(parts) => {
            let (mut texts, mut attachments) = (Vec::new(), Vec::new());
            for part in parts {
                match read_part(part)? {
                    Part::Text(text) => texts.push(text),
                    Part::Attachment(given) => attachments.push(given),
                }
            }
            Ok((texts.join("\n"), attachments))
        }
        _ => Err(InputError::Malformed("content must be a string or a list of parts")),
    }
}

enum Part<'a> {
    Text(&'a str),
    Attachment(Given),
}

fn read_part(part: &Value) -> Result<Part<'_>, InputError> {
    let text = |name: &str| part[name].as_str();
    let given = match text("type") {
        Some("input_text" | "output_text" | "text") => {
            let text = text("text").ok_or(InputError::Malformed("a part of text needs a text"))?;
            return Ok(Part::Text(text));
        }
        Some("refusal") => {
            let text = text("refusal").ok_or(InputError::Malformed("a refusal needs a text"))?;
            return Ok(Part::Text(text));
        }
        // Responses.
        Some("input_image") => image(&part["image_url"], part)?,
        Some("input_file") => file(part)?,
        // Chat Completions.
        Some("image_url") => image(&part["image_url"]["url"], &part["image_url"])?,
        Some("file") => file(&part["file"])?,
        Some(kind) => return Err(InputError::Part(kind.to_owned())),
        None => return Err(InputError::Malformed("a part needs a type")),
    };
    Ok(Part::Attachment(given))
}

fn image(url: &Value, members: &Value) -> Result<Given, InputError> {
    let Some(url) = url.as_str() else {
        return Err(without_content(
            members,
            "an image needs an image_url: an https URL, or a data URL",
        ));
    };
    let detail = match members["detail"].as_str() {
        None => None,
        Some(detail) => Some(Detail::parse(detail).ok_or(InputError::Malformed(
            "detail of an image must be low, high, original or auto",
        ))?),
    };
    Ok(Given::by_url(Kind::Image, url, "", detail)?)
}

fn file(members: &Value) -> Result<Given, InputError> {
    let text = |name: &str| members[name].as_str();
    let name = text("filename").unwrap_or_default();
    match (text("file_data"), text("file_url")) {
        (Some(data), _) => Ok(Given::by_data(Kind::File, data, None, name)?),
        (None, Some(url)) => Ok(Given::by_url(Kind::File, url, name, None)?),
        (None, None) => Err(without_content(members, "a file needs file_data or file_url")),
    }
}

fn without_content(members: &Value, otherwise: &'static str) -> InputError {
    if members["file_id"].is_string() {
        InputError::FileId
    } else {
        InputError::Malformed(otherwise)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_attachments::GivenContent;

    use super::*;

    const PIXEL: &str = "data:image/png;base64,iVBORw0KGgo=";

    fn png() -> GivenContent {
        GivenContent::Bytes {
            declared: Some("image/png".to_owned()),
            bytes: b"\x89PNG\r\n\x1a\n".to_vec(),
        }
    }

    #[test]
    fn both_apis_say_the_same_in_their_forms() {
        let (text, of_responses) = read(&json!([
            {"type": "input_text", "text": "See:"},
            {"type": "input_image", "image_url": PIXEL, "detail": "low"},
            {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
        ]))
        .unwrap();
        let (_, of_chat) = read(&json!([
            {"type": "text", "text": "See:"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}},
        ]))
        .unwrap();
        assert_eq!(of_responses, of_chat);
        assert_eq!(text, "See:");
        assert_eq!((&of_chat[0].content, of_chat[0].detail), (&png(), Some(Detail::Low)));
        assert_eq!((of_chat[1].kind, of_chat[1].name.as_str()), (Kind::File, "a.txt"));
    }

    #[test]
    fn a_url_is_no_content() {
        let url = "https://example.com/a.pdf";
        let (_, given) = read(&json!([{"type": "input_file", "file_url": url}])).unwrap();
        assert_eq!(given[0].content, GivenContent::Url(url.to_owned()));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_the_way_out() {
        for (part, words) in [
            (
                json!({"type": "input_audio", "input_audio": {}}),
                "send text, images and files",
            ),
            (
                json!({"type": "input_image", "file_id": "file-1"}),
                "instead of file_id",
            ),
            (
                json!({"type": "file", "file": {"file_id": "file-1"}}),
                "instead of file_id",
            ),
            (json!({"type": "input_image"}), "an https URL, or a data URL"),
            (json!({"type": "input_file", "filename": "a"}), "file_data or file_url"),
            (
                json!({"type": "input_image", "image_url": PIXEL, "detail": "huge"}),
                "detail of an image",
            ),
            (
                json!({"type": "input_image", "image_url": "http://example.com/a"}),
                "https URL",
            ),
            (json!({"type": "input_text"}), "needs a text"),
            (json!({"text": "Hi"}), "needs a type"),
        ] {
            let error = read(&json!([part])).unwrap_err().to_string();
            assert!(error.contains(words), "{part}: {error}");
        }
    }
}

//! Attachments of Agentex's messages, as clients send them. Agentex's form names a file by `file_id`, which an upload
//! gave; `url` and `data` are additions. Pure.

use serde_json::Value;
use steadfast_attachments::{Given, Kind, Refusal, media_type::normalized};

/// Reads the list of a message.
pub(crate) fn read(attachments: &[Value]) -> Result<Vec<Given>, Refusal> {
    attachments.iter().map(read_one).collect()
}

fn read_one(attachment: &Value) -> Result<Given, Refusal> {
    let text = |name: &str| attachment[name].as_str().filter(|text| !text.is_empty());
    let name = text("name").unwrap_or_default();
    let declared = text("type");
    let is_image = declared.is_some_and(|declared| normalized(declared).starts_with("image/"));
    let kind = if is_image { Kind::Image } else { Kind::File };
    if let Some(url) = text("url") {
        return Given::by_url(kind, url, name, None);
    }
    if let Some(data) = text("data") {
        return Given::by_data(Kind::File, data, declared, name);
    }
    let file_id = text("file_id");
    if let Some(given) = file_id.and_then(|id| Given::by_id(id, declared, name)) {
        return Ok(given);
    }
    // A message that is sent again has the URL of an attachment for its id.
    if let Some(url) = file_id.filter(|id| id.contains(':')) {
        return Given::by_url(kind, url, name, None);
    }
    Err(Refusal::Malformed(
        "an attachment needs the file_id that POST /tasks/{task_id}/attachments answered, a url, or data in base64"
            .into(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_attachments::GivenContent;

    use super::*;

    fn one(attachment: Value) -> Result<Given, String> {
        let mut given = read(&[attachment]).map_err(|error| error.to_string())?;
        Ok(given.remove(0))
    }

    #[test]
    fn an_attachment_is_an_upload_a_url_or_data() {
        let id = "a".repeat(64);
        let uploaded = one(json!({"file_id": id, "name": "a.pdf", "size": 7, "type": "application/pdf"})).unwrap();
        assert_eq!(
            (uploaded.name.as_str(), &uploaded.content),
            (
                "a.pdf",
                &GivenContent::Uploaded {
                    declared: Some("application/pdf".to_owned()),
                    sha256: id,
                }
            )
        );
        let url = "https://example.com/a.png";
        let linked = one(json!({"url": url, "type": "image/*"})).unwrap();
        assert_eq!(
            (linked.kind, linked.content),
            (Kind::Image, GivenContent::Url(url.to_owned()))
        );
        let again = one(json!({"file_id": url, "name": "", "size": 0, "type": "", "url": url})).unwrap();
        assert_eq!(again.content, GivenContent::Url(url.to_owned()));
        let data = one(json!({"data": "aGk=", "type": "text/plain", "name": "a.txt"})).unwrap();
        assert_eq!(
            data.content,
            GivenContent::Bytes {
                declared: Some("text/plain".to_owned()),
                bytes: b"hi".to_vec(),
            }
        );
        for wrong in [
            json!({}),
            json!("a"),
            json!({"file_id": "file-1"}),
            json!({"name": "a", "size": 1}),
        ] {
            let error = one(wrong).unwrap_err();
            assert!(error.contains("/attachments"), "{error}");
        }
    }
}

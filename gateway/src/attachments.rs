//! What messages bring along besides their text: stored before the message is sent, so that history and the log hold
//! references only; read back for whoever may see the task; deleted with it.

use axum::http::StatusCode;
use bytes::Bytes;
use jiff::Timestamp;
use steadfast_attachment_store::{AttachmentStore, SETTING, StoreError};
use steadfast_attachments::{Attachment, Checked, Given, GivenContent, Refusal, Source, check_message, limits};
use steadfast_events::Content;

use crate::{app::Gateway, error::ApiError, messages, task::TaskRecord};

/// The service that is missing when it does not answer.
const STORE: &str = "the store of attachments";

/// What a message brings along.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageAttachments<'a> {
    pub(crate) given: &'a [Given],
    /// The field of the request that has them, for the error of one that is refused.
    pub(crate) param: &'static str,
}

/// The content with its attachments, which are stored now. The same request stores the same objects.
pub(crate) async fn attach(
    gateway: &Gateway,
    namespace: &str,
    task_id: &str,
    content: Content,
    attachments: MessageAttachments<'_>,
) -> Result<Content, ApiError> {
    let attached = attach_all(gateway, namespace, task_id, content, attachments.given).await;
    attached.map_err(|error| {
        if error.status.is_client_error() {
            error.param(attachments.param)
        } else {
            error
        }
    })
}

async fn attach_all(
    gateway: &Gateway,
    namespace: &str,
    task_id: &str,
    content: Content,
    given: &[Given],
) -> Result<Content, ApiError> {
    let Content::Text { text, format, .. } = content else {
        return Ok(content);
    };
    check_message(given).map_err(refused)?;
    let mut attachments = Vec::new();
    for given in given {
        attachments.push(keep(gateway, namespace, task_id, given).await?);
    }
    let bytes: usize = attachments.iter().map(Attachment::stored_bytes).sum();
    if bytes > limits::MAX_MESSAGE_ATTACHMENT_BYTES {
        return Err(refused(Refusal::TooLargeTogether));
    }
    Ok(Content::Text {
        text,
        format,
        attachments,
    })
}

/// Stores one attachment, unless it is at a URL or stored already.
pub(crate) async fn keep(
    gateway: &Gateway,
    namespace: &str,
    task_id: &str,
    given: &Given,
) -> Result<Attachment, ApiError> {
    if let Some(linked) = given.to_linked() {
        return Ok(linked);
    }
    let store = store(gateway)?;
    let is_stored = matches!(given.content, GivenContent::Uploaded { .. });
    let (declared, bytes) = match &given.content {
        GivenContent::Bytes { declared, bytes } => (declared.clone(), bytes.clone()),
        GivenContent::Uploaded { declared, sha256 } => {
            let uploaded = store.uploaded(namespace, task_id, sha256).await;
            let bytes = uploaded.map_err(|error| match error {
                StoreError::Gone => ApiError::bad_request(format!(
                    "nothing was uploaded to this task with the file_id {sha256}: upload it first, with POST \
                     /tasks/{{task_id}}/attachments"
                ))
                .code("invalid_attachment"),
                error => unavailable(error),
            })?;
            (declared.clone(), bytes.to_vec())
        }
        GivenContent::Url(_) => return Err(refused(Refusal::Empty)),
    };
    let (kind, name, detail) = (given.kind, given.name.clone(), given.detail);
    // A digest of megabytes takes a while.
    let check = move || Checked::new(kind, &name, detail, declared.as_deref(), bytes);
    let checked = tokio::task::spawn_blocking(check).await;
    let checked = checked.map_err(|error| ApiError::internal("an attachment cannot be checked", error))?;
    let checked = checked.map_err(refused)?;
    if is_stored {
        return Ok(store.reference(namespace, task_id, &checked));
    }
    store.put(namespace, task_id, checked).await.map_err(unavailable)
}

/// The attachment of a message of the task with this SHA-256, and when the message came.
pub(crate) async fn find(
    gateway: &Gateway,
    task: &TaskRecord,
    sha256: &str,
) -> Result<(Attachment, Timestamp), ApiError> {
    for message in messages::messages(gateway, task).await? {
        let Content::Text { attachments, .. } = message.content else {
            continue;
        };
        let is_it = |attachment: &Attachment| matches!(&attachment.source, Source::Stored { sha256: stored, .. } if stored == sha256);
        if let Some(attachment) = attachments.into_iter().find(is_it) {
            return Ok((attachment, message.created_at));
        }
    }
    Err(ApiError::not_found("the attachment"))
}

/// The attachment of a message of the task with this SHA-256, and its bytes.
pub(crate) async fn read(gateway: &Gateway, task: &TaskRecord, sha256: &str) -> Result<(Attachment, Bytes), ApiError> {
    let (attachment, _) = find(gateway, task, sha256).await?;
    let Source::Stored { location, .. } = &attachment.source else {
        return Err(ApiError::not_found("the attachment"));
    };
    let bytes = store(gateway)?
        .get(location, sha256)
        .await
        .map_err(|error| match error {
            StoreError::Gone => ApiError::new(StatusCode::GONE, "the attachment is no longer stored"),
            error => unavailable(error),
        })?;
    Ok((attachment, bytes))
}

/// Deletes what was stored for a task.
pub(crate) async fn erase(gateway: &Gateway, task: &TaskRecord) -> Result<(), ApiError> {
    match &gateway.attachments {
        Some(store) => store.erase(&task.agent.namespace, &task.id).await.map_err(unavailable),
        None => Ok(()),
    }
}

fn store(gateway: &Gateway) -> Result<&AttachmentStore, ApiError> {
    gateway.attachments.as_ref().ok_or_else(|| {
        ApiError::bad_request(format!(
            "this installation stores no attachments: send the https URL of the image or file, or have {SETTING} set \
             (Helm: attachments.url)"
        ))
        .code("attachments_not_configured")
    })
}

/// A refused attachment as the error of a request.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn refused(refusal: Refusal) -> ApiError {
    let status = match refusal {
        Refusal::TooLarge | Refusal::TooLargeTogether => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::TooMany | Refusal::Empty | Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
    };
    ApiError::new(status, refusal.to_string()).code(refusal.code())
}

/// Nothing was sent yet.
fn unavailable(error: StoreError) -> ApiError {
    ApiError::unavailable(STORE, error).retryable(true)
}

#[cfg(test)]
mod tests {
    use steadfast_attachments::Kind;
    use steadfast_events::TextFormat;

    use super::*;

    async fn attached(gateway: &Gateway, given: &[Given]) -> Result<Content, ApiError> {
        let attachments = MessageAttachments { given, param: "input" };
        attach(gateway, "n", "t", Content::text("Hi", TextFormat::Plain), attachments).await
    }

    #[tokio::test]
    async fn bytes_without_a_store_are_refused_with_the_setting_and_a_url_is_taken() {
        let gateway = Gateway::without_services();
        let data = Given::by_data(Kind::File, "aGk=", None, "a.txt").unwrap();
        let error = attached(&gateway, &[data]).await.unwrap_err();
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        assert!(error.message.contains("STEADFAST_ATTACHMENTS_URL"), "{}", error.message);
        let url = Given::by_url(Kind::Image, "https://example.com/a.png", "", None).unwrap();
        let content = attached(&gateway, std::slice::from_ref(&url)).await.unwrap();
        let Content::Text { text, attachments, .. } = content else {
            panic!("{content:?}");
        };
        assert_eq!((text.as_str(), attachments), ("Hi", vec![url.to_linked().unwrap()]));
        let error = attached(&gateway, &vec![url; 11]).await.unwrap_err();
        assert!(error.message.contains("at most 10"), "{}", error.message);
    }
}

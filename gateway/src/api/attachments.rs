//! `/tasks/{task_id}/attachments`: the bytes that messages bring along, in and out.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use steadfast_attachments::{
    Attachment, Given, GivenContent, Kind, Refusal,
    limits::{MAX_ATTACHMENT_BYTES, MAX_NAME_BYTES},
    media_type::is_text,
};
use utoipa::IntoParams;

use super::extractors::{Params, UnreadBody};
use crate::{
    access::{Action, Caller},
    agentex::wire,
    app::Gateway,
    attachments,
    error::{ApiError, ErrorBody},
    load::Permit,
    task::TaskRecord,
};

/// What a browser may do with an attachment that somebody sent: nothing but save it.
const HARMLESS: [(header::HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    (header::CACHE_CONTROL, "private, no-store"),
];
/// Signs of a file name that a header has as they are (RFC 8187).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');
/// The largest attachment as an amount of memory.
const MEMORY: u32 = 8 * 1024 * 1024;
const _: () = assert!(MEMORY as usize == MAX_ATTACHMENT_BYTES);

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Upload {
    /// The file name.
    name: Option<String>,
}

/// Uploads an image or a file for a message of a task. The answer goes into `attachments` of the message; its `file_id`
/// counts in this task only. The same bytes have the same `file_id`.
#[utoipa::path(
    post,
    path = "/tasks/{task_id}/attachments",
    operation_id = "upload_attachment",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task."), Upload),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The bytes, with their media type as `Content-Type`; 8 MiB at most."),
    responses(
        (status = OK, description = "The attachment.", body = wire::AttachmentEntry<'static>),
        (status = PAYLOAD_TOO_LARGE, description = "It has too many bytes.", body = ErrorBody),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "It is no image, document or text that models take.", body = ErrorBody),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn upload(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(task_id): Path<String>,
    Params(Upload { name }): Params<Upload>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let task = gateway.task(&caller, Action::WriteTasks, &task_id).await?;
    if name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
        return Err(ApiError::bad_request(format!(
            "name is at most {MAX_NAME_BYTES} bytes long"
        )));
    }
    let body = body.read_within(MEMORY, &gateway, &caller).await.map_err(|error| {
        if error.status == StatusCode::PAYLOAD_TOO_LARGE {
            attachments::refused(Refusal::TooLarge)
        } else {
            error
        }
    })?;
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = Given {
        kind: Kind::File,
        name: name.unwrap_or_default(),
        detail: None,
        content: GivenContent::Bytes {
            declared: declared.map(str::to_owned),
            bytes: body.bytes().to_vec(),
        },
    };
    let attachment = attachments::keep(&gateway, &task.agent.namespace, &task.id, &given).await?;
    Ok(Json(wire::AttachmentEntry::new(&attachment)).into_response())
}

/// The bytes of an attachment of a message.
#[utoipa::path(
    get,
    path = "/tasks/{task_id}/attachments/{file_id}",
    operation_id = "download_attachment",
    tag = "tasks",
    params(
        ("task_id" = String, Path, description = "Id of the task."),
        ("file_id" = String, Path, description = "`file_id` of the attachment."),
    ),
    responses(
        (status = OK, description = "The bytes, with their media type; to be saved, not shown.", content_type = "application/octet-stream", body = Vec<u8>),
        (status = GONE, description = "The bytes are no longer stored.", body = ErrorBody),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn download(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path((task_id, file_id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let task = gateway.task(&caller, Action::ReadTasks, &task_id).await?;
    of_task(&gateway, &caller, &task, &file_id).await
}

/// The bytes of an attachment of a task that the caller may read.
pub(super) async fn of_task(
    gateway: &Gateway,
    caller: &Caller,
    task: &TaskRecord,
    file_id: &str,
) -> Result<Response, ApiError> {
    let _turn = gateway.load.heavy_request(caller).await?;
    let memory = gateway.load.body(caller, MEMORY).await?;
    let (attachment, bytes) = attachments::read(gateway, task, file_id).await?;
    Ok(answer(&attachment, bytes, memory))
}

fn answer(attachment: &Attachment, bytes: Bytes, memory: Permit) -> Response {
    let length = bytes.len();
    // The memory is in use until the bytes are sent.
    let body = stream::iter([bytes]).map(move |bytes| {
        let _memory = &memory;
        Ok::<_, std::convert::Infallible>(bytes)
    });
    let mut response = (StatusCode::OK, Body::from_stream(body)).into_response();
    let headers = response.headers_mut();
    let (content_type, disposition) = headers_of(attachment);
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_DISPOSITION, disposition),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::CONTENT_LENGTH, length.into());
    for (name, value) in HARMLESS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The content type and the disposition.
fn headers_of(attachment: &Attachment) -> (String, String) {
    let content_type = if is_text(&attachment.media_type) {
        format!("{}; charset=utf-8", attachment.media_type)
    } else {
        attachment.media_type.clone()
    };
    let disposition = if attachment.name.is_empty() {
        "attachment".to_owned()
    } else {
        format!(
            "attachment; filename*=UTF-8''{}",
            utf8_percent_encode(&attachment.name, ESCAPED)
        )
    };
    (content_type, disposition)
}

#[cfg(test)]
mod tests {
    use steadfast_attachments::Checked;

    use super::*;

    #[test]
    fn a_name_cannot_leave_its_header() {
        let name = "täa\"; filename=evil.exe\r\nX: 1.txt";
        let text = Checked::new(Kind::File, name, None, None, b"tea".to_vec()).unwrap();
        let (content_type, disposition) = headers_of(&text.to_attachment(String::new()));
        assert_eq!(content_type, "text/plain; charset=utf-8");
        assert_eq!(
            disposition,
            "attachment; filename*=UTF-8''t%C3%A4a%22%3B%20filename%3Devil.exeX%3A%201.txt"
        );
    }
}

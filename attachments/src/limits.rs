//! The limits of attachments, all in one place. docs/attachments.md lists them for users.

/// Attachments of one message. OpenAI takes more, but each is read again for every model call that sees the message.
pub const MAX_ATTACHMENTS: usize = 10;
/// Bytes of one attachment. A photograph of a phone fits; a worker holds several of them in base64 at a time.
pub const MAX_ATTACHMENT_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of all attachments of one message.
pub const MAX_MESSAGE_ATTACHMENT_BYTES: usize = 12 * 1024 * 1024;
/// Bytes of all attachments of one model call. Of a longer conversation the newest ones are sent, and the model is told
/// the names of the others. Every message fits.
pub const MAX_REQUEST_ATTACHMENT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a name. File systems have no longer ones.
pub const MAX_NAME_BYTES: usize = 255;
/// Bytes of a URL: it stands in history. A signed URL of a cloud's storage is shorter.
pub const MAX_URL_BYTES: usize = 4096;
/// Bytes of a media type.
pub const MAX_MEDIA_TYPE_BYTES: usize = 127;

const _: () = assert!(MAX_ATTACHMENT_BYTES <= MAX_MESSAGE_ATTACHMENT_BYTES);
const _: () = assert!(MAX_MESSAGE_ATTACHMENT_BYTES <= MAX_REQUEST_ATTACHMENT_BYTES);

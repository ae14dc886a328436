//! Reads the attachments of a conversation for one request to a model.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use steadfast_agent_loop::Segment;
use steadfast_attachment_store::{AttachmentStore, SETTING, StoreError};
use steadfast_attachments::{Attachment, limits::MAX_REQUEST_ATTACHMENT_BYTES};
use steadfast_crds::model::ModelApi;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    failure::CallFailure,
    model::attachments::{RequestAttachments, StoredAttachment, refuse_without_form, stored_attachments},
};

/// Bytes of attachments in memory at a time: those of two requests of the largest kind. In base64 and in the body of the
/// request they are there once more each.
const BYTES_AT_A_TIME: usize = 2 * MAX_REQUEST_ATTACHMENT_BYTES;
/// Objects of one request that are read at a time.
const READS_AT_A_TIME: usize = 4;

/// Type of a failure: the bytes are gone.
const GONE: &str = "attachment_gone";
/// Type of a failure: the worker has no store of attachments.
const NOT_CONFIGURED: &str = "attachments_not_configured";
/// Type of a failure of the store, which may be temporary.
const UNAVAILABLE: &str = "attachment_store_unavailable";

/// The attachments that a worker can read.
#[derive(Clone, Debug)]
pub(crate) struct Attachments {
    store: Option<AttachmentStore>,
    memory: Arc<Semaphore>,
}

/// The attachments of one request, and the memory that they use.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub contents: RequestAttachments,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Attachments {
    pub(crate) fn new(store: Option<AttachmentStore>) -> Self {
        Self {
            store,
            memory: Arc::new(Semaphore::new(BYTES_AT_A_TIME)),
        }
    }

    /// Reads what the request of a turn has. Fails if something of the message that is answered cannot be read, and does
    /// without what earlier messages brought along and is gone.
    pub(crate) async fn load(&self, transcript: &[&Segment], turn: u32, api: ModelApi) -> Result<Loaded, CallFailure> {
        refuse_without_form(transcript, turn, api)?;
        let stored = stored_attachments(transcript, turn);
        let mut contents = RequestAttachments::of_turn(turn);
        if stored.is_empty() {
            return Ok(Loaded {
                contents,
                _memory: None,
            });
        }
        let store = self.store.as_ref().ok_or_else(not_configured)?;
        let bytes: usize = stored.iter().map(|stored| stored.attachment.stored_bytes()).sum();
        let bytes = u32::try_from(bytes.min(BYTES_AT_A_TIME)).unwrap_or(u32::MAX);
        // Never closed, so there is always a permit.
        let memory = self.memory.clone().acquire_many_owned(bytes).await.ok();
        // On the heap: the compiler cannot tell that such futures of a closure are `Send`.
        let reads: Vec<_> = stored.iter().map(|stored| read(store, stored).boxed()).collect();
        let bytes: Vec<Option<Bytes>> = stream::iter(reads).buffered(READS_AT_A_TIME).try_collect().await?;
        for (stored, bytes) in stored.iter().zip(bytes) {
            if let Some(bytes) = bytes {
                contents.add(stored, api, &bytes);
            }
        }
        Ok(Loaded {
            contents,
            _memory: memory,
        })
    }
}

/// The bytes; none of an earlier message's attachment that is gone.
async fn read(store: &AttachmentStore, stored: &StoredAttachment<'_>) -> Result<Option<Bytes>, CallFailure> {
    match store.get(stored.location, stored.sha256).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::Gone) if stored.is_needed => Err(gone(stored.attachment)),
        Err(StoreError::Gone) => Ok(None),
        Err(error) => Err(CallFailure::transient_error(UNAVAILABLE, &error)),
    }
}

fn gone(attachment: &Attachment) -> CallFailure {
    CallFailure::permanent(
        GONE,
        format!("the {} is no longer stored: send it again", attachment.label()),
    )
}

fn not_configured() -> CallFailure {
    CallFailure::permanent(
        NOT_CONFIGURED,
        format!("the worker has no store of attachments: set {SETTING} (Helm: attachments.url)"),
    )
}

#[cfg(test)]
mod tests {
    use steadfast_attachments::{Checked, Kind, Source};
    use steadfast_process::outbound::Outbound;

    use super::*;
    use crate::model::attachments::testing::message;

    async fn stored(store: &AttachmentStore, text: &str) -> Attachment {
        let checked = Checked::new(Kind::File, "a.txt", None, None, text.as_bytes().to_vec()).unwrap();
        store.put("n", "t", checked).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_gone_ends_the_turn_that_brought_it_and_no_later_one() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}", directory.path().display());
        let store = AttachmentStore::open(&url, "i", [], &Outbound::default()).unwrap();
        let (tea, coffee) = (stored(&store, "tea").await, stored(&store, "coffee").await);
        let attachments = Attachments::new(Some(store));
        let (first, second) = (message(1, "", vec![tea.clone()]), message(2, "", vec![coffee]));
        let transcript = [&first, &second];
        let load = |turn| attachments.load(&transcript, turn, ModelApi::ChatCompletions);
        load(2).await.unwrap();
        let Source::Stored { location, .. } = &tea.source else {
            panic!("{tea:?}");
        };
        std::fs::remove_file(directory.path().join(location)).unwrap();
        load(2).await.unwrap();
        let failure = attachments.load(&[&first], 1, ModelApi::Responses).await.unwrap_err();
        assert_eq!(
            (failure.category, failure.message.as_str()),
            (GONE, "the file a.txt is no longer stored: send it again")
        );
    }

    #[tokio::test]
    async fn a_worker_without_a_store_says_what_to_set() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}", directory.path().display());
        let store = AttachmentStore::open(&url, "i", [], &Outbound::default()).unwrap();
        let sent = message(1, "", vec![stored(&store, "tea").await]);
        let failure = Attachments::new(None)
            .load(&[&sent], 1, ModelApi::Responses)
            .await
            .unwrap_err();
        assert_eq!(failure.category, NOT_CONFIGURED);
        assert!(failure.message.contains("STEADFAST_ATTACHMENTS_URL"), "{failure}");
        Attachments::new(None).load(&[], 1, ModelApi::Responses).await.unwrap();
    }
}

//! Where the bytes of attachments are: an S3 bucket, or a directory. One URL names it; the usual variables of AWS hold
//! the rest. Objects are named by their SHA-256 below their task, so nothing is ever overwritten with something else.

mod open;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{DynObjectStore, Error, GetResult, ObjectStoreExt as _, path::Path};
use steadfast_attachments::{Attachment, Checked, limits::MAX_ATTACHMENT_BYTES, object_of, sha256_of, task_prefix};
use tokio::time::timeout;

pub use self::open::{AttachmentArgs, OpenError, SETTING};

/// Limit for one operation, with the repetitions of its requests. Whoever waits for it has a person waiting.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit for the erasure of a task, whose objects may be many.
const ERASE_TIMEOUT: Duration = Duration::from_mins(2);

/// The store of one installation.
#[derive(Clone, Debug)]
pub struct AttachmentStore {
    objects: Arc<DynObjectStore>,
    /// The path of the store's URL.
    root: String,
    install: String,
}

/// Why an attachment cannot be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object, or another one than was stored.
    #[error("the attachment is no longer stored")]
    Gone,
    /// The store does not answer in time.
    #[error("the store of attachments did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The store refuses, or is away.
    #[error("the store of attachments failed")]
    Store(#[from] Error),
}

impl AttachmentStore {
    /// The reference to bytes that are stored for a task.
    pub fn reference(&self, namespace: &str, task_id: &str, checked: &Checked) -> Attachment {
        checked.to_attachment(object_of(&self.install, namespace, task_id, &checked.sha256))
    }

    /// Stores bytes for a task and returns the reference to them. The same bytes have the same name.
    pub async fn put(&self, namespace: &str, task_id: &str, checked: Checked) -> Result<Attachment, StoreError> {
        let path = self.path(&object_of(&self.install, namespace, task_id, &checked.sha256))?;
        let attachment = self.reference(namespace, task_id, &checked);
        let bytes = Bytes::from(checked.bytes);
        within(OPERATION_TIMEOUT, async {
            self.objects.put(&path, bytes.into()).await?;
            Ok(())
        })
        .await?;
        Ok(attachment)
    }

    /// Reads what was stored for a task under this SHA-256.
    pub async fn uploaded(&self, namespace: &str, task_id: &str, sha256: &str) -> Result<Bytes, StoreError> {
        self.get(&object_of(&self.install, namespace, task_id, sha256), sha256)
            .await
    }

    /// Reads an object. Bytes that are not those that were stored count as gone.
    pub async fn get(&self, location: &str, sha256: &str) -> Result<Bytes, StoreError> {
        let path = self.path(location)?;
        let bytes = within(OPERATION_TIMEOUT, async {
            let object = self.objects.get(&path).await?;
            whole(object).await
        })
        .await?;
        if sha256_of(&bytes) == sha256 {
            Ok(bytes)
        } else {
            Err(StoreError::Gone)
        }
    }

    /// Deletes everything that was stored for a task.
    pub async fn erase(&self, namespace: &str, task_id: &str) -> Result<(), StoreError> {
        let prefix = self.path(&task_prefix(&self.install, namespace, task_id))?;
        within(ERASE_TIMEOUT, async {
            let found = self.objects.list(Some(&prefix)).map_ok(|object| object.location);
            let mut deleted = self.objects.delete_stream(found.boxed());
            while let Some(result) = deleted.next().await {
                match result {
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        })
        .await
    }

    fn path(&self, name: &str) -> Result<Path, StoreError> {
        let path = if self.root.is_empty() {
            Path::parse(name)
        } else {
            Path::parse(format!("{}/{name}", self.root))
        };
        Ok(path.map_err(Error::from)?)
    }
}

/// The bytes of an object, if they are not more than an attachment can have.
async fn whole(object: GetResult) -> Result<Bytes, StoreError> {
    if object.meta.size > MAX_ATTACHMENT_BYTES as u64 {
        return Err(StoreError::Gone);
    }
    Ok(object.bytes().await?)
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match timeout(limit, work).await {
        Ok(Err(StoreError::Store(Error::NotFound { .. }))) => Err(StoreError::Gone),
        Ok(result) => result,
        Err(_) => Err(StoreError::TimedOut(limit)),
    }
}

#[cfg(test)]
mod tests {
    use steadfast_attachments::{Kind, Source};
    use steadfast_process::outbound::Outbound;

    use super::*;

    fn store(directory: &std::path::Path, install: &str) -> AttachmentStore {
        let url = format!("file://{}", directory.display());
        AttachmentStore::open(&url, install, [], &Outbound::default()).unwrap()
    }

    fn text(words: &str) -> Checked {
        Checked::new(Kind::File, "a.txt", None, None, words.as_bytes().to_vec()).unwrap()
    }

    fn place(attachment: &Attachment) -> (&str, &str) {
        match &attachment.source {
            Source::Stored { location, sha256, .. } => (location, sha256),
            Source::Url(url) => panic!("{url}"),
        }
    }

    #[tokio::test]
    async fn what_is_stored_for_a_task_is_read_back_and_goes_with_the_task() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory.path().join("attachments"), "i");
        let tea = store.put("n", "t", text("tea")).await.unwrap();
        let again = store.put("n", "t", text("tea")).await.unwrap();
        assert_eq!(tea, again);
        let other = store.put("n", "t2", text("tea")).await.unwrap();
        assert_ne!(place(&tea).0, place(&other).0);
        let (location, sha256) = place(&tea);
        assert_eq!(store.get(location, sha256).await.unwrap(), "tea");
        assert_eq!(store.uploaded("n", "t", sha256).await.unwrap(), "tea");
        assert!(matches!(store.uploaded("n", "t3", sha256).await, Err(StoreError::Gone)));
        store.erase("n", "t").await.unwrap();
        store.erase("n", "t").await.unwrap();
        assert!(matches!(store.get(location, sha256).await, Err(StoreError::Gone)));
        let (location, sha256) = place(&other);
        assert_eq!(store.get(location, sha256).await.unwrap(), "tea");
    }

    #[tokio::test]
    async fn bytes_that_somebody_changed_are_not_the_attachment() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path(), "i");
        let tea = store.put("n", "t", text("tea")).await.unwrap();
        let (location, sha256) = place(&tea);
        std::fs::write(directory.path().join(location), "coffee").unwrap();
        assert!(matches!(store.get(location, sha256).await, Err(StoreError::Gone)));
        std::fs::write(directory.path().join(location), vec![b'x'; MAX_ATTACHMENT_BYTES + 1]).unwrap();
        assert!(matches!(store.get(location, sha256).await, Err(StoreError::Gone)));
    }
}

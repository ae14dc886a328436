//! The store on a server that speaks S3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use steadfast_attachment_store::{AttachmentStore, StoreError};
use steadfast_attachments::{Attachment, Checked, Kind, Source};
use steadfast_process::{crypto, outbound::Outbound};
use steadfast_testkit::S3Server;

fn file(words: &str) -> Checked {
    Checked::new(Kind::File, "a.txt", None, None, words.as_bytes().to_vec()).unwrap()
}

fn place(attachment: &Attachment) -> (&str, &str) {
    match &attachment.source {
        Source::Stored { location, sha256, .. } => (location, sha256),
        Source::Url(url) => panic!("{url}"),
    }
}

#[tokio::test]
#[ignore = "installs a server that speaks S3: cargo xtask test --long"]
async fn attachments_are_kept_in_a_bucket_below_a_prefix() {
    crypto::install();
    let server = S3Server::start("bucket").await.unwrap();
    let variables = [
        ("AWS_ENDPOINT_URL", server.url()),
        ("AWS_REGION", "eu-central-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "of a tool".to_owned()),
        ("STEADFAST_ATTACHMENTS_AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("STEADFAST_ATTACHMENTS_AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let open = |url: &str| AttachmentStore::open(url, "i", variables.clone(), &Outbound::default()).unwrap();
    let (store, elsewhere) = (open("s3://bucket/some/prefix"), open("s3://bucket"));

    let tea = store.put("n", "t", file("tea")).await.unwrap();
    assert_eq!(store.put("n", "t", file("tea")).await.unwrap(), tea);
    let coffee = store.put("n", "t", file("coffee")).await.unwrap();
    let other = store.put("n", "t2", file("tea")).await.unwrap();
    let (location, sha256) = place(&tea);
    assert_eq!(store.get(location, sha256).await.unwrap(), "tea");
    assert_eq!(store.uploaded("n", "t", place(&coffee).1).await.unwrap(), "coffee");
    assert!(matches!(elsewhere.get(location, sha256).await, Err(StoreError::Gone)));
    let below = format!("some/prefix/{location}");
    assert_eq!(elsewhere.get(&below, sha256).await.unwrap(), "tea");

    store.erase("n", "t").await.unwrap();
    for gone in [&tea, &coffee] {
        let (location, sha256) = place(gone);
        assert!(matches!(store.get(location, sha256).await, Err(StoreError::Gone)));
    }
    let (location, sha256) = place(&other);
    assert_eq!(store.get(location, sha256).await.unwrap(), "tea");
    store.erase("n", "t").await.unwrap();

    let missing = open("s3://no-such-bucket")
        .put("n", "t", file("tea"))
        .await
        .unwrap_err();
    assert!(
        matches!(missing, StoreError::Gone | StoreError::Store(_)),
        "{missing:?}"
    );
}

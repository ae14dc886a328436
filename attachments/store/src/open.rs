//! From the settings to a store.

use std::{path::Path as FilePath, sync::Arc, time::Duration};

use object_store::{
    ClientOptions, DynObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    client::{HttpClient, HttpConnector},
    local::LocalFileSystem,
};
use steadfast_process::outbound::{CONNECT_TIMEOUT, Outbound};
use url::Url;

use crate::AttachmentStore;

/// The variable that names the store.
pub const SETTING: &str = "STEADFAST_ATTACHMENTS_URL";
/// A variable with this before its name counts before the one with the name alone: a worker may have `AWS_…` variables
/// for its tools.
const PREFIX: &str = "STEADFAST_ATTACHMENTS_";
/// Variables of AWS.
const AWS: &str = "AWS_";
/// Limit for the silence of a server in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Repetitions of one request, within the limit of its operation.
const MAX_RETRIES: usize = 2;
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// What a program was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct AttachmentArgs {
    /// Where the bytes of attachments are kept: s3://BUCKET[/PREFIX], with the usual AWS_… variables, or
    /// file:///DIRECTORY. Without it, messages with bytes are refused.
    #[arg(long, env = "STEADFAST_ATTACHMENTS_URL")]
    pub attachments_url: Option<String>,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is none of a store.
    #[error("{SETTING} must be s3://BUCKET[/PREFIX] or file:///DIRECTORY")]
    Url,
    /// The directory cannot be made.
    #[error("{SETTING}: make the directory")]
    Directory(#[source] std::io::Error),
    /// The settings of the store are wrong.
    #[error("{SETTING}")]
    Store(#[from] object_store::Error),
    /// There is no HTTP client.
    #[error("make the HTTP client of the store of attachments")]
    Http(#[from] reqwest::Error),
}

impl AttachmentArgs {
    /// The store, if one is configured. An empty URL counts as none.
    pub fn open(
        &self,
        install: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        outbound: &Outbound,
    ) -> Result<Option<AttachmentStore>, OpenError> {
        let url = self
            .attachments_url
            .as_deref()
            .map(str::trim)
            .filter(|url| !url.is_empty());
        url.map(|url| AttachmentStore::open(url, install, environment, outbound))
            .transpose()
    }
}

impl AttachmentStore {
    /// The store at a URL. Nothing is connected to yet.
    pub fn open(
        url: &str,
        install: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        outbound: &Outbound,
    ) -> Result<Self, OpenError> {
        // The parser would take file:name for /name.
        let is_absolute = url.starts_with("file:///");
        let url = Url::parse(url).map_err(|_| OpenError::Url)?;
        let (objects, root): (Arc<DynObjectStore>, String) = match url.scheme() {
            "file" if is_absolute => {
                let directory = url.to_file_path().map_err(|()| OpenError::Url)?;
                (Arc::new(local(&directory)?), String::new())
            }
            "s3" if url.host_str().is_some_and(|bucket| !bucket.is_empty()) => {
                let root = url.path().trim_matches('/').to_owned();
                (Arc::new(s3(&url, environment, outbound)?), root)
            }
            _ => return Err(OpenError::Url),
        };
        Ok(Self {
            objects,
            root,
            install: install.to_owned(),
        })
    }
}

fn local(directory: &FilePath) -> Result<LocalFileSystem, OpenError> {
    std::fs::create_dir_all(directory).map_err(OpenError::Directory)?;
    // Empty directories of erased tasks go too.
    Ok(LocalFileSystem::new_with_prefix(directory)?.with_automatic_cleanup(true))
}

fn s3(
    url: &Url,
    environment: impl IntoIterator<Item = (String, String)>,
    outbound: &Outbound,
) -> Result<object_store::aws::AmazonS3, OpenError> {
    let http = outbound
        .apply(reqwest::Client::builder())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build()?;
    let mut bucket = url.clone();
    bucket.set_path("");
    let builder = AmazonS3Builder::new()
        .with_url(bucket.to_string())
        .with_http_connector(Connector(http))
        .with_retry(RetryConfig {
            max_retries: MAX_RETRIES,
            retry_timeout: RETRY_TIMEOUT,
            ..RetryConfig::default()
        });
    let settings = settings(environment);
    let builder = settings
        .into_iter()
        .fold(builder, |builder, (key, value)| builder.with_config(key, value));
    Ok(builder.build()?)
}

/// The settings among the variables; later ones count.
fn settings(environment: impl IntoIterator<Item = (String, String)>) -> Vec<(AmazonS3ConfigKey, String)> {
    let (mut plain, mut own) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        let (name, into) = match name.strip_prefix(PREFIX) {
            Some(name) => (name, &mut own),
            None => (name.as_str(), &mut plain),
        };
        let key = name.starts_with(AWS).then(|| name.to_ascii_lowercase().parse());
        if let Some(Ok(key)) = key
            && !value.is_empty()
        {
            into.push((key, value));
        }
    }
    plain.extend(own);
    plain
}

/// Gives the store the client that the program reaches the world with.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Result<AttachmentStore, OpenError> {
        AttachmentStore::open(url, "i", [], &Outbound::default())
    }

    #[test]
    fn one_url_names_the_store() {
        for url in ["", "s3://", "https://bucket.example.com", "bucket", "file:relative"] {
            assert!(open(url).is_err(), "{url}");
        }
        let none = AttachmentArgs {
            attachments_url: Some(" ".to_owned()),
        };
        assert!(none.open("i", [], &Outbound::default()).unwrap().is_none());
    }

    #[test]
    fn variables_of_the_store_count_before_those_of_the_tools() {
        let variables = [
            ("STEADFAST_ATTACHMENTS_AWS_ACCESS_KEY_ID", "store"),
            ("STEADFAST_ATTACHMENTS_URL", "s3://b"),
            ("AWS_ACCESS_KEY_ID", "tool"),
            ("AWS_REGION", "eu-1"),
            ("AWS_UNKNOWN_THING", "x"),
            ("ACCESS_KEY_ID", "no"),
            ("AWS_SESSION_TOKEN", ""),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            settings(variables),
            [
                (AmazonS3ConfigKey::AccessKeyId, "tool".to_owned()),
                (AmazonS3ConfigKey::Region, "eu-1".to_owned()),
                (AmazonS3ConfigKey::AccessKeyId, "store".to_owned()),
            ]
        );
    }
}

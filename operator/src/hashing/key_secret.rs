//! The Secret that holds the key of the credentials hash, in the operator's own
//! namespace. The operator creates it once; without it every worker Deployment
//! is rolled out once more, and nothing else happens.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use rustls::crypto::CryptoProvider;
use steadfast_crds::names::{MANAGED_BY, MANAGED_BY_LABEL};

use crate::hashing::keyed_hash::{EmptyKeyError, KEY_BYTES, KeyedHash};

/// Name of the Secret.
pub(crate) const SECRET_NAME: &str = "steadfast-credentials-hash-key";
const SECRET_KEY: &str = "key";

/// Why the key is not available.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secret cannot be read.
    #[error("read Secret {namespace}/{SECRET_NAME}")]
    Read {
        /// The operator's namespace.
        namespace: String,
        /// The cause.
        source: kube::Error,
    },
    /// The Secret cannot be created.
    #[error("create Secret {namespace}/{SECRET_NAME}")]
    Create {
        /// The operator's namespace.
        namespace: String,
        /// The cause.
        source: kube::Error,
    },
    /// The process has no source of randomness.
    #[error("generate a random key")]
    Randomness,
    /// The Secret has no key.
    #[error("the Secret {namespace}/{SECRET_NAME} has no key; delete the Secret and the operator creates a new one")]
    Unusable {
        /// The operator's namespace.
        namespace: String,
        /// The cause.
        source: EmptyKeyError,
    },
}

/// The hash function with the key of this install. Creates the Secret if it does not exist.
pub(crate) async fn ensure(client: &Client, namespace: &str) -> Result<KeyedHash, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let namespace = namespace.to_owned();
    let read = |source| Error::Read {
        namespace: namespace.clone(),
        source,
    };
    let secret = match api.get_opt(SECRET_NAME).await.map_err(read)? {
        Some(secret) => secret,
        None => match api.create(&PostParams::default(), &new_secret()?).await {
            Ok(secret) => secret,
            // Another replica created it first: that key is used.
            Err(kube::Error::Api(status)) if status.code == 409 => api.get(SECRET_NAME).await.map_err(read)?,
            Err(source) => return Err(Error::Create { namespace, source }),
        },
    };
    let key = secret.data.unwrap_or_default().remove(SECRET_KEY).unwrap_or_default();
    KeyedHash::new(&key.0).map_err(|source| Error::Unusable { namespace, source })
}

fn new_secret() -> Result<Secret, Error> {
    let mut key = vec![0; KEY_BYTES];
    CryptoProvider::get_default()
        .ok_or(Error::Randomness)?
        .secure_random
        .fill(&mut key)
        .map_err(|_| Error::Randomness)?;
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(SECRET_NAME.to_owned()),
            labels: Some(BTreeMap::from([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(SECRET_KEY.to_owned(), ByteString(key))])),
        ..Secret::default()
    })
}

//! The key of the credentials hash: a Secret of the operator's own namespace,
//! made once. Losing it costs one rollout of every worker, nothing else.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use rustls::crypto::CryptoProvider;
use steadfast_crds::names::{MANAGED_BY, MANAGED_BY_LABEL};

use crate::keyed_hash::{EmptyKeyError, KEY_BYTES, KeyedHash};

/// Name of the Secret.
pub const SECRET_NAME: &str = "steadfast-credentials-hash-key";
const SECRET_KEY: &str = "key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not give the Secret.
    #[error("read Secret {namespace}/{SECRET_NAME}")]
    Read {
        /// The operator's namespace.
        namespace: String,
        /// The cause.
        source: kube::Error,
    },
    /// The API server did not take the Secret.
    #[error("create Secret {namespace}/{SECRET_NAME}")]
    Create {
        /// The operator's namespace.
        namespace: String,
        /// The cause.
        source: kube::Error,
    },
    /// The process has no source of randomness.
    #[error("draw a random key")]
    Randomness,
    /// Somebody emptied the Secret.
    #[error("Secret {namespace}/{SECRET_NAME} holds no key; delete it to have a new one made")]
    Unusable {
        /// The operator's namespace.
        namespace: String,
        /// The cause.
        source: EmptyKeyError,
    },
}

/// The hash under this install's key; makes the key if there is none.
pub async fn ensure(client: &Client, namespace: &str) -> Result<KeyedHash, Error> {
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
            // Another replica was faster: its key is the one.
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

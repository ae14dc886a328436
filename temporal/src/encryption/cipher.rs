//! Encrypts and decrypts one payload.

use prost::Message as _;
use ring::{
    aead::{Aad, LessSafeKey, NONCE_LEN, Nonce},
    rand::{SecureRandom as _, SystemRandom},
};
use steadfast_payload::{ENCODING, ENCRYPTED, ENCRYPTION_KEY_ID};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use super::keys::ActiveKey;

/// A payload cannot be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum CipherError {
    /// The key is not among ours.
    #[error(
        "a payload is encrypted with the key {id:?}, which this program does not have (it has: {known}); add it to the encryption keys"
    )]
    UnknownKey {
        /// Id of the key.
        id: String,
        /// The ids that this program has.
        known: String,
    },
    /// The bytes are not those that were encrypted.
    #[error("a payload that was encrypted with the key {id:?} was changed, or another key had this id")]
    Changed {
        /// Id of the key.
        id: String,
    },
    /// The operating system has no randomness.
    #[error("there is no randomness to encrypt with")]
    NoRandomness,
}

/// Encrypts a payload.
pub(super) fn encrypt(active: &ActiveKey, payload: &Payload) -> Result<Payload, CipherError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| CipherError::NoRandomness)?;
    let mut sealed = payload.encode_to_vec();
    active
        .key
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
        // Only a payload of many gigabytes is refused.
        .map_err(|_| CipherError::NoRandomness)?;
    let mut data = Vec::with_capacity(NONCE_LEN + sealed.len());
    data.extend_from_slice(&nonce);
    data.append(&mut sealed);
    Ok(Payload {
        metadata: [
            (ENCODING.to_owned(), ENCRYPTED.to_vec()),
            (ENCRYPTION_KEY_ID.to_owned(), active.id.clone().into_bytes()),
        ]
        .into(),
        data,
        ..Payload::default()
    })
}

/// Whether a payload is encrypted.
pub(super) fn is_encrypted(payload: &Payload) -> bool {
    payload.metadata.get(ENCODING).map(Vec::as_slice) == Some(ENCRYPTED)
}

/// Decrypts a payload with the key of this id.
pub(super) fn decrypt(id: &str, key: &LessSafeKey, payload: &Payload) -> Result<Payload, CipherError> {
    let changed = || CipherError::Changed { id: id.to_owned() };
    let (nonce, sealed) = payload.data.split_first_chunk::<NONCE_LEN>().ok_or_else(changed)?;
    let mut sealed = sealed.to_vec();
    let opened = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut sealed)
        .map_err(|_| changed())?;
    Payload::decode(&*opened).map_err(|_| changed())
}

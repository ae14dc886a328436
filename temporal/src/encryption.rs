//! Encryption of our payloads before they reach Temporal, so that the server's database holds no
//! message, answer or instruction in clear. Optional: without keys nothing changes.
//!
//! The format is that of Temporal's encryption samples: AES-256-GCM over the serialized payload,
//! with the id of the key in the metadata. Everything is encrypted except search attributes, which the
//! server must read, and payloads for programs that are not ours
//! ([`foreign_json`](steadfast_payload::foreign_json)).

mod cipher;
mod codec;
mod keys;
mod message;

pub use self::{
    cipher::CipherError,
    codec::Codec,
    keys::{KeysError, check_key_id},
    message::Message,
};

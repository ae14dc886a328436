//! Applies the cipher to payloads: as the SDK's codec in a worker, and to whole requests and
//! responses of the raw service.

use std::{path::Path, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use ring::hmac;
use steadfast_payload::{encryption_key_id, take_foreign_mark};
use temporalio_common::{
    data_converters::{
        DataConverter, DefaultFailureConverter, PayloadCodec, PayloadConversionError, PayloadConverter,
        SerializationContextData,
    },
    payload_visitor::{AsyncPayloadVisitor, PayloadField, PayloadFieldData},
    protos::temporal::api::common::v1::Payload,
};
use tokio::time::{Instant, sleep};

use super::{
    cipher::{CipherError, decrypt, encrypt, is_encrypted},
    keys::{Keys, KeysError, check_key_id},
    message::Message,
};

/// How long an activity waits for a key that the program does not have. A failed workflow task is repeated for ever,
/// an activity only a few times: the files of a Secret that has just changed must have time to arrive.
const KEY_TIMEOUT: Duration = Duration::from_secs(20);
const KEY_POLL_PERIOD: Duration = Duration::from_millis(250);

/// Encrypts and decrypts our payloads. Without keys, payloads stay as they are.
#[derive(Clone, Debug, Default)]
pub struct Codec {
    keys: Option<Arc<Keys>>,
}

impl Codec {
    /// Reads the keys of a directory; `active` is the id of the one that encrypts. Without `active`, payloads that
    /// were encrypted earlier are read, and nothing is encrypted. Without both, the codec does nothing.
    pub fn read(directory: Option<&Path>, active: Option<&str>) -> Result<Self, KeysError> {
        let active = active.filter(|id| !id.is_empty());
        active.map_or(Ok(()), check_key_id)?;
        let directory = directory.filter(|directory| !directory.as_os_str().is_empty());
        let keys = match (directory, active) {
            (Some(directory), active) => Some(Arc::new(Keys::read(directory, active)?)),
            (None, Some(active)) => return Err(KeysError::NoDirectory(active.to_owned())),
            (None, None) => None,
        };
        Ok(Self { keys })
    }

    /// Whether payloads are encrypted.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        self.active_key_id().is_some()
    }

    /// The id of the key that encrypts.
    #[must_use]
    pub fn active_key_id(&self) -> Option<&str> {
        self.keys.as_ref()?.active_id()
    }

    /// For the SDK's client: with it, a worker encrypts and decrypts all that it exchanges with the server, and the
    /// messages of failures too.
    #[must_use]
    pub fn data_converter(&self) -> DataConverter {
        DataConverter::new(
            PayloadConverter::default(),
            DefaultFailureConverter::new(self.encrypts()),
            self.clone(),
        )
    }

    /// Encrypts one payload, unless it is for a program that is not ours.
    pub fn encode(&self, mut payload: Payload) -> Result<Payload, CipherError> {
        let foreign = take_foreign_mark(&mut payload);
        match self.keys.as_ref().and_then(|keys| keys.active()) {
            Some(active) if !foreign => encrypt(active, &payload),
            _ => Ok(payload),
        }
    }

    /// Decrypts one payload, if it is encrypted.
    pub fn decode(&self, payload: Payload) -> Result<Payload, CipherError> {
        if !is_encrypted(&payload) {
            return Ok(payload);
        }
        let id = encryption_key_id(&payload);
        match self.keys.as_ref().and_then(|keys| keys.get(&id)) {
            Some(key) => decrypt(&id, &key, &payload),
            None => Err(CipherError::UnknownKey {
                id: id.into_owned(),
                known: self
                    .keys
                    .as_ref()
                    .map_or_else(|| "none".to_owned(), |keys| keys.known_ids()),
            }),
        }
    }

    /// Encrypts all payloads of a request.
    pub(crate) async fn encode_message<M: Message>(&self, message: &mut M) -> Result<(), CipherError> {
        if !self.encrypts() {
            return Ok(());
        }
        let mut encoder = Encoder {
            codec: self,
            error: None,
        };
        if let Some(payloads) = message.payloads() {
            // The encoder keeps its own error, which is more exact.
            let _ = payloads.visit_payloads_mut(&mut encoder).await;
        }
        encoder.error.map_or(Ok(()), Err)
    }

    /// Decrypts the payloads of a response. One that cannot be decrypted stays as it is, and whoever unpacks it gets
    /// an error: a list does not fail for one of its entries.
    pub(crate) async fn decode_message<M: Message>(&self, message: &mut M) {
        if self.keys.is_none() {
            return;
        }
        if let Some(payloads) = message.payloads() {
            // This visitor never fails.
            let _ = payloads.visit_payloads_mut(&mut Decoder { codec: self }).await;
        }
    }

    /// A digest by which the change of a text shows. Nobody can test a guess of the text against it, and it changes
    /// with the key. `None` without encryption.
    #[must_use]
    pub fn keyed_digest(&self, text: &[u8]) -> Option<String> {
        use std::fmt::Write as _;
        let active = self.keys.as_ref()?.active()?;
        let tag = hmac::sign(&active.digests, text);
        Some(tag.as_ref().iter().fold(String::new(), |mut digits, byte| {
            // Writing to a String does not fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        }))
    }

    async fn decode_within(&self, payloads: Vec<Payload>, timeout: Duration) -> Result<Vec<Payload>, CipherError> {
        let deadline = Instant::now() + timeout;
        let mut decoded = Vec::with_capacity(payloads.len());
        for payload in payloads {
            loop {
                match self.decode(payload.clone()) {
                    Err(CipherError::UnknownKey { id, .. }) if Instant::now() < deadline => {
                        tracing::warn!(
                            key = id,
                            "waiting for an encryption key that this program does not have"
                        );
                        sleep(KEY_POLL_PERIOD).await;
                    }
                    result => break decoded.push(result?),
                }
            }
        }
        Ok(decoded)
    }
}

impl PayloadCodec for Codec {
    fn encode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        let encoded = payloads.into_iter().map(|payload| Self::encode(self, payload));
        let encoded: Result<Vec<Payload>, CipherError> = encoded.collect();
        std::future::ready(encoded.map_err(conversion_error)).boxed()
    }

    fn decode(
        &self,
        context: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        if !payloads.iter().any(is_encrypted) {
            return std::future::ready(Ok(payloads)).boxed();
        }
        let timeout = match context {
            SerializationContextData::Activity(_) => KEY_TIMEOUT,
            _ => Duration::ZERO,
        };
        let codec = self.clone();
        async move {
            let decoded = codec.decode_within(payloads, timeout).await;
            decoded.map_err(conversion_error)
        }
        .boxed()
    }
}

fn conversion_error(error: CipherError) -> PayloadConversionError {
    PayloadConversionError::EncodingError(Box::new(error))
}

struct Encoder<'a> {
    codec: &'a Codec,
    error: Option<CipherError>,
}

impl Encoder<'_> {
    fn encode(&mut self, payload: &mut Payload) {
        match self.codec.encode(std::mem::take(payload)) {
            Ok(encoded) => *payload = encoded,
            Err(error) => self.error = Some(error),
        }
    }
}

impl AsyncPayloadVisitor for Encoder<'_> {
    fn visit<'a>(&'a mut self, field: PayloadField<'a>) -> BoxFuture<'a, Result<(), PayloadConversionError>> {
        if !is_search_attribute(field.path) {
            each(field.data, |payload| self.encode(payload));
        }
        std::future::ready(Ok(())).boxed()
    }
}

struct Decoder<'a> {
    codec: &'a Codec,
}

impl Decoder<'_> {
    fn decode(&self, payload: &mut Payload) {
        if !is_encrypted(payload) {
            return;
        }
        match self.codec.decode(payload.clone()) {
            Ok(decoded) => *payload = decoded,
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a payload cannot be decrypted"
            ),
        }
    }
}

impl AsyncPayloadVisitor for Decoder<'_> {
    fn visit<'a>(&'a mut self, field: PayloadField<'a>) -> BoxFuture<'a, Result<(), PayloadConversionError>> {
        each(field.data, |payload| self.decode(payload));
        std::future::ready(Ok(())).boxed()
    }
}

fn each(data: PayloadFieldData<'_>, mut act: impl FnMut(&mut Payload)) {
    match data {
        PayloadFieldData::Single(payload) => act(payload),
        PayloadFieldData::Repeated(payloads) => payloads.iter_mut().for_each(act),
        PayloadFieldData::Payloads(payloads) => payloads.payloads.iter_mut().for_each(act),
    }
}

/// The server indexes search attributes, so it must read them.
fn is_search_attribute(path: &str) -> bool {
    path.contains("SearchAttributes.indexed_fields")
}

#[cfg(test)]
mod tests;

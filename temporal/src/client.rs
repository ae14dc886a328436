//! A client for single requests on the raw service: connects at the first one
//! and bounds each, so that a caller is never held up by an outage.

use std::time::Duration;

use temporalio_client::Connection;
use tokio::{sync::OnceCell, time::timeout};

use crate::{
    connect::connect,
    encryption::{Codec, Message},
    error::TemporalError,
    send::{Method, send},
    settings::TemporalSettings,
};

/// Asks Temporal. Share it: all requests use one connection.
#[derive(Debug)]
pub struct TemporalClient {
    settings: TemporalSettings,
    identity: String,
    request_timeout: Duration,
    connection: OnceCell<Connection>,
}

impl TemporalClient {
    /// Does not connect yet: Temporal may be away when a program starts.
    ///
    /// `identity` names the program in Temporal's events. `request_timeout` bounds every
    /// request, connecting and retries included.
    #[must_use]
    pub fn new(settings: TemporalSettings, identity: impl Into<String>, request_timeout: Duration) -> Self {
        Self {
            settings,
            identity: identity.into(),
            request_timeout,
            connection: OnceCell::new(),
        }
    }

    /// The Temporal namespace, to be put into requests.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.settings.namespace()
    }

    /// The name of this program, to be put into requests.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Encrypts and decrypts payloads.
    #[must_use]
    pub fn codec(&self) -> &Codec {
        self.settings.codec()
    }

    /// Sends one request and waits for its answer, at most for the request timeout. Encrypts the payloads of the
    /// request and decrypts those of the answer.
    pub async fn request<Q: Message + Clone, A: Message>(
        &self,
        mut request: Q,
        method: Method<Q, A>,
    ) -> Result<A, TemporalError> {
        let codec = self.settings.codec();
        codec.encode_message(&mut request).await?;
        let answer = timeout(self.request_timeout, async {
            let connection = self.connection.get_or_try_init(|| self.connect()).await?;
            Ok(send(connection, request, method).await?)
        });
        let answer: Result<A, TemporalError> = answer
            .await
            .map_err(|_| TemporalError::TimedOut(self.request_timeout))?;
        let mut answer = answer?;
        codec.decode_message(&mut answer).await;
        Ok(answer)
    }

    async fn connect(&self) -> Result<Connection, TemporalError> {
        // Less than the request timeout, so that the last attempt's error is told and not only that time is over.
        connect(&self.settings, &self.identity, self.request_timeout * 3 / 5).await
    }
}

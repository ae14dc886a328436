//! Tells a webhook of an event: one POST, whose answer is not read. Whether a
//! failure matters is the caller's to say.

use std::{sync::Arc, time::Duration};

use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::Value;
use steadfast_crds::{AgentRevisionSpec, agent::hook::Webhook};

use crate::{
    address::{AddressPolicy, chain, refusal},
    credentials::Credentials,
    target::{Target, host},
};

/// Posts to webhooks.
#[derive(Clone)]
pub struct WebhookClient {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    policy: AddressPolicy,
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Another attempt cannot help.
    #[error("{0}")]
    Refused(String),
    /// It may help.
    #[error("{0}")]
    Unavailable(String),
}

impl WebhookClient {
    pub fn new(credentials: Arc<Credentials>, policy: AddressPolicy) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: policy.client()?,
            credentials,
            policy,
        })
    }

    /// Makes one attempt; any 2xx is success.
    pub async fn post(
        &self,
        revision: &AgentRevisionSpec,
        webhook: &Webhook,
        event: &Value,
        timeout: Duration,
    ) -> Result<(), WebhookError> {
        let target = Target {
            credentials: &self.credentials,
            policy: self.policy,
            revision,
            scope: None,
        };
        let made = target
            .url(&webhook.url)
            .and_then(|url| Ok((target.headers(&webhook.headers, &url)?, url)));
        let (headers, url) = made.map_err(|error| WebhookError::Refused(chain(&error)))?;
        let host = host(&url);
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .headers(headers)
            .timeout(timeout)
            .body(event.to_string());
        let response = request.send().await.map_err(|error| {
            let error = error.without_url();
            match refusal(&error) {
                Some(refused) => WebhookError::Refused(refused.to_string()),
                None => WebhookError::Unavailable(format!("{host} cannot be reached: {}", chain(&error))),
            }
        })?;
        let status = response.status();
        let told = format!("{host} answered {status}");
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(WebhookError::Unavailable(told)),
            _ if status.is_server_error() => Err(WebhookError::Unavailable(told)),
            _ => Err(WebhookError::Refused(told)),
        }
    }
}

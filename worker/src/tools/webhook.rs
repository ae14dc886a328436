//! Posts events to webhooks: one POST, whose response body is ignored. The caller
//! decides whether a failure matters.

use std::{sync::Arc, time::Duration};

use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::Value;
use steadfast_crds::{AgentRevisionSpec, agent::hook::Webhook};
use steadfast_egress::EgressPolicy;
use steadfast_process::ErrorChain;

use crate::{
    egress::{
        connection_fault::find_denial,
        credentials::Credentials,
        http_client::Egress,
        request_target::{RequestTarget, host},
    },
    failure::CallFailure,
};

/// Type of a failure that another attempt cannot mend.
const REFUSED: &str = "webhook_refused";
/// Type of a failure that may be temporary.
const UNAVAILABLE: &str = "webhook_unavailable";

/// Posts to webhooks.
#[derive(Clone)]
pub(crate) struct WebhookClient {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    policy: EgressPolicy,
}

impl WebhookClient {
    pub(crate) fn new(credentials: Arc<Credentials>, egress: &Egress) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: egress.client()?,
            credentials,
            policy: egress.policy,
        })
    }

    /// Makes one attempt; any 2xx is a success.
    pub(crate) async fn post(
        &self,
        revision: &AgentRevisionSpec,
        webhook: &Webhook,
        event: &Value,
        timeout: Duration,
    ) -> Result<(), CallFailure> {
        let target = RequestTarget {
            credentials: &self.credentials,
            policy: self.policy,
            revision,
            scope: None,
        };
        let (url, headers) = target
            .url_and_headers(&webhook.url, &webhook.headers)
            .map_err(|error| CallFailure::permanent_error(REFUSED, &error))?;
        let host = host(&url.url);
        let request = self
            .http
            .post(url.url)
            .header(CONTENT_TYPE, "application/json")
            .headers(headers)
            .timeout(timeout)
            .body(event.to_string());
        let response = request.send().await.map_err(|error| {
            let redactor = self.credentials.redactor(revision);
            failure(&host, error).redacted(&redactor)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let message = format!("{host} answered {status}");
        let is_retryable =
            status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        Err(if is_retryable {
            CallFailure::transient(UNAVAILABLE, message)
        } else {
            CallFailure::permanent(REFUSED, message)
        })
    }
}

fn failure(host: &str, error: reqwest::Error) -> CallFailure {
    // The URL may hold a credential.
    let error = error.without_url();
    match find_denial(&error) {
        Some(denied) => CallFailure::permanent(REFUSED, denied.to_string()),
        None => CallFailure::transient(UNAVAILABLE, format!("cannot reach {host}: {}", ErrorChain(&error))),
    }
}

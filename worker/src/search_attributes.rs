//! Registers the search attributes of tasks, and knows whether the Temporal server
//! has them. Temporal Cloud refuses the registration.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use steadfast_contract::visibility::{SEARCH_AGENT, SEARCH_PENDING_APPROVALS, SEARCH_PHASE};
use steadfast_process::ErrorChain;
use temporalio_client::{
    Client,
    tonic::{IntoRequest, Status},
};
use temporalio_common::protos::temporal::api::{
    enums::v1::IndexedValueType,
    operatorservice::v1::{AddSearchAttributesRequest, ListSearchAttributesRequest},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The search attributes that tasks set.
const ATTRIBUTES: [(&str, IndexedValueType); 3] = [
    (SEARCH_AGENT, IndexedValueType::Keyword),
    (SEARCH_PHASE, IndexedValueType::Keyword),
    (SEARCH_PENDING_APPROVALS, IndexedValueType::Int),
];
const MINIMUM_DELAY: Duration = Duration::from_secs(1);
const MAXIMUM_DELAY: Duration = Duration::from_mins(1);
/// Limit for the wait of an activity; after it the attributes count as missing.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error("list the search attributes")]
    List(#[from] Status),
    #[error("the registered search attributes are not listed yet")]
    NotListed,
}

/// Whether the attributes are registered, once it is known.
#[derive(Clone, Debug)]
pub(crate) struct SearchAttributes(watch::Receiver<Option<bool>>);

impl SearchAttributes {
    /// Registers in the background, until the server has answered or the token is cancelled.
    pub(crate) fn register(client: Client, stop: CancellationToken) -> Self {
        let (sender, receiver) = watch::channel(None);
        let backoff = ExponentialBuilder::default()
            .with_min_delay(MINIMUM_DELAY)
            .with_max_delay(MAXIMUM_DELAY)
            .without_max_times();
        tokio::spawn(async move {
            let attempt = || {
                let client = client.clone();
                async move { register(&client).await }
            };
            let registering = attempt.retry(backoff).notify(|error: &RegisterError, _| {
                tracing::debug!(error = %ErrorChain(error), "search attributes not known yet; retrying");
            });
            if let Some(Ok(registered)) = stop.run_until_cancelled(registering).await {
                sender.send_replace(Some(registered));
            }
        });
        Self(receiver)
    }

    /// Whether the server has the attributes; false while it has not answered.
    pub(crate) async fn are_registered(&self) -> bool {
        let mut receiver = self.0.clone();
        let known = tokio::time::timeout(ANSWER_LIMIT, receiver.wait_for(Option::is_some)).await;
        matches!(known, Ok(Ok(value)) if *value == Some(true))
    }
}

async fn register(client: &Client) -> Result<bool, RegisterError> {
    let missing = missing(client).await?;
    if missing.is_empty() {
        return Ok(true);
    }
    let request = AddSearchAttributesRequest {
        search_attributes: missing
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), (*kind).into()))
            .collect(),
        namespace: client.options().namespace.clone(),
    };
    let added = client
        .connection()
        .operator_service()
        .add_search_attributes(request.into_request())
        .await;
    // A workflow that uses an attribute before every server knows it fails: only listed attributes count.
    let missing = self::missing(client).await?;
    if missing.is_empty() {
        return Ok(true);
    }
    let Err(refused) = added else {
        return Err(RegisterError::NotListed);
    };
    let commands: Vec<String> = missing
        .iter()
        .map(|(name, kind)| {
            format!(
                "temporal operator search-attribute create --name {name} --type {}",
                type_name(*kind)
            )
        })
        .collect();
    tracing::warn!(
        reason = refused.message(),
        "search attributes not registered; listing approvals is slower without them. Register them with: {}",
        commands.join("; ")
    );
    Ok(false)
}

/// The attributes that the server does not list.
async fn missing(client: &Client) -> Result<Vec<(&'static str, IndexedValueType)>, RegisterError> {
    let request = ListSearchAttributesRequest {
        namespace: client.options().namespace.clone(),
    };
    let listed = client
        .connection()
        .operator_service()
        .list_search_attributes(request.into_request())
        .await?
        .into_inner();
    let is_missing = |(name, _): &(&str, _)| !listed.custom_attributes.contains_key(*name);
    Ok(ATTRIBUTES.into_iter().filter(is_missing).collect())
}

/// The name of a type on Temporal's command line.
const fn type_name(kind: IndexedValueType) -> &'static str {
    match kind {
        IndexedValueType::Int => "Int",
        _ => "Keyword",
    }
}

//! What the Temporal server can do for us: whether it indexes our search
//! attributes. Registers them where that is allowed (it is not on Temporal Cloud).

use std::time::Duration;

use steadfast_contract::visibility::{SEARCH_AGENT, SEARCH_PENDING_APPROVALS, SEARCH_PHASE};
use temporalio_client::{Client, tonic::IntoRequest};
use temporalio_common::protos::temporal::api::{
    enums::v1::IndexedValueType,
    operatorservice::v1::{AddSearchAttributesRequest, ListSearchAttributesRequest},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// All that tasks write.
const ATTRIBUTES: [(&str, IndexedValueType); 3] = [
    (SEARCH_AGENT, IndexedValueType::Keyword),
    (SEARCH_PHASE, IndexedValueType::Keyword),
    (SEARCH_PENDING_APPROVALS, IndexedValueType::Int),
];
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long an activity waits for the answer before it goes on without.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The answer, once it is known.
#[derive(Clone, Debug)]
pub struct SearchAttributes(watch::Receiver<Option<bool>>);

impl SearchAttributes {
    /// Asks in the background, until the server has answered or the token is cancelled.
    pub fn learn(client: Client, namespace: String, stop: CancellationToken) -> Self {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                match register(&client, &namespace).await {
                    Ok(known) => {
                        sender.send_replace(Some(known));
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "search attributes cannot be looked up yet");
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        });
        Self(receiver)
    }

    /// Whether they are indexed; no, while nobody knows.
    pub async fn are_indexed(&self) -> bool {
        let mut receiver = self.0.clone();
        let known = tokio::time::timeout(ANSWER_LIMIT, receiver.wait_for(Option::is_some)).await;
        matches!(known, Ok(Ok(value)) if *value == Some(true))
    }
}

async fn register(client: &Client, namespace: &str) -> Result<bool, Error> {
    let missing = missing(client, namespace).await?;
    if missing.is_empty() {
        return Ok(true);
    }
    let request = AddSearchAttributesRequest {
        search_attributes: missing
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), (*kind).into()))
            .collect(),
        namespace: namespace.to_owned(),
    };
    let added = client
        .connection()
        .operator_service()
        .add_search_attributes(request.into_request())
        .await;
    // Whoever uses an attribute before the server knows it everywhere fails: only what is listed is used.
    let missing = self::missing(client, namespace).await?;
    if missing.is_empty() {
        return Ok(true);
    }
    let Err(refused) = added else {
        return Err("registered, and not listed yet".into());
    };
    let remedy: Vec<String> = missing
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
        "search attributes cannot be registered; listing approvals is slower without them. Register them with: {}",
        remedy.join("; ")
    );
    Ok(false)
}

/// Those of ours that the server does not list.
async fn missing(client: &Client, namespace: &str) -> Result<Vec<(&'static str, IndexedValueType)>, Error> {
    let request = ListSearchAttributesRequest {
        namespace: namespace.to_owned(),
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

/// As Temporal's command line spells it.
const fn type_name(kind: IndexedValueType) -> &'static str {
    match kind {
        IndexedValueType::Int => "Int",
        _ => "Keyword",
    }
}

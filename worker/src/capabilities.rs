//! What the Temporal server can do for us: whether it indexes our search
//! attributes. Registers them where that is allowed (it is not on Temporal Cloud).

use std::{collections::HashMap, time::Duration};

use steadfast_workflow::contract::SEARCH_PENDING_APPROVALS;
use temporalio_client::{Client, tonic::IntoRequest};
use temporalio_common::protos::temporal::api::{
    enums::v1::IndexedValueType,
    operatorservice::v1::{AddSearchAttributesRequest, ListSearchAttributesRequest},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long an activity waits for the answer before it goes on without.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

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

async fn register(client: &Client, namespace: &str) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    if is_registered(client, namespace).await? {
        return Ok(true);
    }
    let request = AddSearchAttributesRequest {
        search_attributes: HashMap::from([(SEARCH_PENDING_APPROVALS.to_owned(), IndexedValueType::Int.into())]),
        namespace: namespace.to_owned(),
    };
    let added = client
        .connection()
        .operator_service()
        .add_search_attributes(request.into_request())
        .await;
    if let Err(refused) = added {
        tracing::warn!(
            reason = refused.message(),
            "the search attribute {SEARCH_PENDING_APPROVALS} (Int) cannot be registered; listing approvals is slower \
             without it. Register it with: temporal operator search-attribute create --name {SEARCH_PENDING_APPROVALS} --type Int"
        );
        return Ok(false);
    }
    // Whoever uses an attribute before the server knows it everywhere fails: only what is listed is used.
    if is_registered(client, namespace).await? {
        return Ok(true);
    }
    Err("registered, and not listed yet".into())
}

async fn is_registered(client: &Client, namespace: &str) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let request = ListSearchAttributesRequest {
        namespace: namespace.to_owned(),
    };
    let listed = client
        .connection()
        .operator_service()
        .list_search_attributes(request.into_request())
        .await?
        .into_inner();
    Ok(listed.custom_attributes.contains_key(SEARCH_PENDING_APPROVALS))
}

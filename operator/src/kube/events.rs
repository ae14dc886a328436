//! Publishes Events. Nothing depends on them: a status says the same.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, Recorder, Reporter},
};

use crate::MANAGER;

/// Publishes one Event about an object. A failure is logged.
///
/// A recorder that has published before takes an Event of the same reason for a repetition and keeps the first note, for
/// six minutes: the second revision would be announced as the first. So each Event has its own; there is one for each
/// transition, so they are few.
pub(crate) async fn publish(client: &Client, event: &Event, about: &ObjectReference) {
    let recorder = Recorder::new(client.clone(), Reporter::from(MANAGER));
    if let Err(error) = recorder.publish(event, about).await {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(object = ?about.name, error, "cannot publish the Event");
    }
}

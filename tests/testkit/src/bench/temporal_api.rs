//! What benches ask of Temporal, over its HTTP API.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{http_client, temporal::Temporal};

/// A start with the first message, in one request.
#[derive(Clone, Debug)]
pub(super) struct SignalWithStart {
    pub(super) workflow_id: String,
    pub(super) workflow_type: &'static str,
    pub(super) task_queue: String,
    pub(super) input: Value,
    pub(super) message: Value,
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(super) struct TemporalApi {
    http: reqwest::Client,
    url: String,
    system_url: String,
    metrics_url: Option<String>,
}

/// For a request that waits behind a burst of others.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The signal that carries a message, to every contestant.
const SIGNAL: &str = "receive_event";

impl TemporalApi {
    pub(super) fn new(temporal: &Temporal) -> anyhow::Result<Self> {
        Ok(Self {
            http: http_client::shared()?,
            url: format!("{}/api/v1/namespaces/default", temporal.http_api_url()),
            system_url: format!("{}/api/v1/system-info", temporal.http_api_url()),
            metrics_url: temporal.metrics_url(),
        })
    }

    /// The version of the server.
    pub(super) async fn server_version(&self) -> anyhow::Result<String> {
        let system = send(self.http.get(&self.system_url), "system-info").await?;
        let version = system["serverVersion"].as_str();
        version.map(str::to_owned).context("find the version of the server")
    }

    /// Starts a workflow with its message. Returns the id of the run.
    pub(super) async fn signal_with_start(&self, start: &SignalWithStart) -> anyhow::Result<String> {
        let path = format!("workflows/{}/signal-with-start/{SIGNAL}", start.workflow_id);
        let body = json!({
            "workflowType": {"name": start.workflow_type},
            "taskQueue": {"name": start.task_queue},
            "input": [start.input],
            "signalInput": [start.message],
        });
        let answer = self.post(&path, &body).await?;
        let run_id = answer["runId"].as_str().context("find the id of the started run")?;
        Ok(run_id.to_owned())
    }

    /// Events in the history of a workflow.
    pub(super) async fn history_length(&self, workflow_id: &str) -> anyhow::Result<u32> {
        let workflow = self.get(&format!("workflows/{workflow_id}")).await?;
        let length = workflow["workflowExecutionInfo"]["historyLength"].as_str();
        let length = length.context("find the length of a history")?;
        length.parse().context("read the length of a history")
    }

    /// The whole history of a workflow.
    pub(super) async fn history(&self, workflow_id: &str) -> anyhow::Result<Vec<Value>> {
        let mut events = Vec::new();
        let mut token = String::new();
        loop {
            let request = self.http.get(format!("{}/workflows/{workflow_id}/history", self.url));
            let page = send(request.query(&[("nextPageToken", &token)]), "a history").await?;
            let of_page = page["history"]["events"].as_array();
            events.extend(of_page.context("find the events of a history")?.iter().cloned());
            match page["nextPageToken"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut token),
                _ => return Ok(events),
            }
        }
    }

    /// Ends a workflow, so that what is left of it does not disturb the next measurement.
    pub(super) async fn terminate(&self, workflow_id: &str) -> anyhow::Result<()> {
        self.post(&format!("workflows/{workflow_id}/terminate"), &json!({}))
            .await
            .map(drop)
    }

    /// The long polls that wait at the server's task queues whose name starts with this.
    pub(super) async fn pending_polls(&self, task_queue: &str) -> anyhow::Result<f64> {
        let url = self.metrics_url.as_ref().context("the server shows no metrics")?;
        let page = self
            .http
            .get(url)
            .send()
            .await
            .context("ask for the server's metrics")?;
        let page = page.text().await.context("read the server's metrics")?;
        Ok(pending_polls(&page, task_queue))
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}/{path}", self.url));
        send(request, path).await
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}/{path}", self.url)).json(body);
        send(request, path).await
    }
}

async fn send(request: reqwest::RequestBuilder, path: &str) -> anyhow::Result<Value> {
    let response = request.timeout(TIMEOUT).send().await;
    let response = response.with_context(|| format!("ask Temporal for {path}"))?;
    let status = response.status();
    let text = response
        .text()
        .await
        .with_context(|| format!("read Temporal's answer to {path}"))?;
    anyhow::ensure!(status.is_success(), "Temporal refused {path} ({status}): {text}");
    serde_json::from_str(&text).with_context(|| format!("read Temporal's answer to {path}: {text}"))
}

/// The sum of the gauge `pending_polls` over the queues whose name starts with this; sticky queues have names of
/// their own, and count under the label of the queue that they belong to.
fn pending_polls(page: &str, task_queue: &str) -> f64 {
    // The server writes every other character of a label's value as an underscore.
    let name = task_queue.replace(|character: char| !character.is_ascii_alphanumeric(), "_");
    let label = format!("taskqueue=\"{name}");
    page.lines()
        .filter(|line| line.starts_with("pending_polls{") && line.contains(&label))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polls_of_one_task_queue_are_added() {
        let page = "# TYPE pending_polls gauge\n\
            pending_polls{namespace=\"default\",partition=\"0\",task_type=\"Workflow\",taskqueue=\"peer_a\"} 2\n\
            pending_polls{namespace=\"default\",partition=\"__sticky__\",task_type=\"Workflow\",taskqueue=\"peer_a\"} 3\n\
            pending_polls{namespace=\"default\",partition=\"0\",task_type=\"Activity\",taskqueue=\"other\"} 5\n\
            other{taskqueue=\"peer_a\"} 7\n";
        assert!((pending_polls(page, "peer-a") - 5.0).abs() < f64::EPSILON);
    }
}

//! Asks workers on their admin port. Connects to no host that a resource names: the address of a pod is given by
//! Kubernetes.

use std::{net::IpAddr, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use reqwest::Client;
use serde::de::DeserializeOwned;

/// Limit for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Client of the admin ports of workers.
#[derive(Clone, Debug)]
pub(crate) struct WorkerAdmin {
    client: Client,
    port: i32,
}

/// Why a worker did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// There is no answer.
    #[error("ask the worker")]
    Http(#[from] reqwest::Error),
    /// The answer is too long.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The answer is of another version, or not of a worker.
    #[error("read the answer")]
    Unreadable(#[from] steadfast_bounds::json::ReadError),
}

impl WorkerAdmin {
    /// A client for this port of every pod.
    pub(crate) fn new(port: i32) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { client, port })
    }

    /// The report that the worker gives at a path.
    pub(crate) async fn get<R: DeserializeOwned>(
        &self,
        address: IpAddr,
        path: &str,
        maximum_bytes: usize,
    ) -> Result<R, AskError> {
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let port = self.port;
        let response = self.client.get(format!("http://{host}:{port}{path}")).send().await?;
        let mut chunks = response.error_for_status()?.bytes_stream();
        let mut body = Vec::new();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk?);
            if body.len() > maximum_bytes {
                return Err(AskError::TooLong(maximum_bytes));
            }
        }
        Ok(steadfast_bounds::json::read(&body)?)
    }
}

/// Whether a pod is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The address of a pod, once it has one.
pub(crate) fn address_of(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

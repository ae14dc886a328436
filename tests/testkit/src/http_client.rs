//! Plain HTTP to the services' own control endpoints.

use std::{sync::OnceLock, time::Duration};

use anyhow::Context as _;
use reqwest::Client;

/// A frozen service never answers.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One client for the process, without a proxy.
pub(crate) fn shared() -> anyhow::Result<Client> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    install_tls_provider();
    let client = Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .context("build an HTTP client")?;
    Ok(CLIENT.get_or_init(|| client).clone())
}

/// Installs the TLS provider of this process, unless one is installed.
pub(crate) fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

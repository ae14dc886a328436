//! Plain HTTP to the services' own control endpoints.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Client;

/// One client for all: no proxy, and a time limit that a frozen service meets.
pub fn shared() -> anyhow::Result<Client> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    install_tls_provider();
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .context("build an HTTP client")?;
    Ok(CLIENT.get_or_init(|| client).clone())
}

/// TLS needs one provider per process. An error means that one is there.
pub fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

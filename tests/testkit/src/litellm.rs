//! LiteLLM's proxy between a worker and a model: it reads the stream of the model and
//! writes one of its own.

use std::{net::SocketAddrV4, time::Duration};

use anyhow::Context as _;

use crate::{
    files, http_client,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service},
    tools,
};

/// Its start imports a thousand modules, on a machine that runs other tests.
const READY_TIMEOUT: Duration = Duration::from_mins(4);
/// The name under which clients know the model.
const MODEL: &str = "scripted";

/// One proxy. It ends when the value is dropped.
#[derive(Debug)]
pub struct LiteLlm {
    service: Service,
    port: Port,
    install_root: InstallRoot,
}

impl LiteLlm {
    /// Starts a proxy in front of a model, on a free port of 127.0.0.1. `base_url` is that of the model, and `key` is what
    /// the proxy's clients send.
    pub async fn start(base_url: &str, key: &str) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process("litellm")?;
        let port = port::lease()?;
        let config = install_root.logs().join(format!("litellm-{}.json", port.number()));
        // YAML is a superset of JSON.
        let settings = serde_json::json!({
            "model_list": [{
                "model_name": MODEL,
                "litellm_params": {"model": format!("openai/{MODEL}"), "api_base": base_url, "api_key": "none"},
            }],
            // Its own retries would hide what the worker does.
            "litellm_settings": {"num_retries": 0, "drop_params": true},
            "router_settings": {"disable_cooldowns": true},
        });
        files::write(&config, &settings.to_string())?;
        let launch = Launch::new("litellm", tools::litellm()?)
            .path_flag("config", &config)
            .flag("host", install_root.address)
            .flag("port", port.number())
            .flag("telemetry", "False")
            .variable("LITELLM_MASTER_KEY", key)
            // The list of prices is on the internet.
            .variable("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .variable("LITELLM_MODE", "PRODUCTION")
            .in_network(install_root.network.as_deref());
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        let proxy = Self {
            service,
            port,
            install_root,
        };
        proxy.service.start()?;
        let url = format!("{}/health/liveliness", proxy.url());
        let answers = async || {
            let asked = http_client::shared()?.get(&url).send().await;
            asked
                .and_then(reqwest::Response::error_for_status)
                .map(drop)
                .context("ask LiteLLM for its health")
        };
        proxy.service.ready(READY_TIMEOUT, answers).await?;
        Ok(proxy)
    }

    /// The value for an Agent's `model.baseUrl`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// The value for an Agent's `model.name`.
    pub fn model_name(&self) -> &'static str {
        MODEL
    }

    fn url(&self) -> String {
        format!(
            "http://{}",
            SocketAddrV4::new(self.install_root.address, self.port.number())
        )
    }
}

impl Drop for LiteLlm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.service.tail());
        }
    }
}

//! The platform with Steadfast on it that all scenarios share.

use anyhow::Context as _;
use steadfast_testkit::Platform;
use steadfast_testkit::install::{self, InstallOptions};
use steadfast_testkit::release::{Profile, Release};
use tokio::sync::OnceCell;

const NAME: &str = "e2e";

/// An error is kept too: what did not start for one scenario starts for none.
static CLUSTER: OnceCell<Result<Cluster, String>> = OnceCell::const_new();

pub struct Cluster {
    pub platform: Platform,
    /// `http://<address>:<port>` of the gateway.
    pub gateway: String,
}

/// Starts it for the first who asks.
pub async fn shared() -> anyhow::Result<&'static Cluster> {
    let cluster = CLUSTER.get_or_init(async || start().await.map_err(|error| format!("{error:#}")));
    cluster.await.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// Ends it, if anyone asked for it.
pub async fn end() -> anyhow::Result<()> {
    if CLUSTER.initialized() {
        Platform::down(NAME).await?;
    }
    Ok(())
}

async fn start() -> anyhow::Result<Cluster> {
    let release = Release::build(Profile::Ci).await.context("build the images")?;
    // What a run that was killed has left would be in the way.
    Platform::down(NAME).await?;
    let platform = Platform::up(NAME).await.context("start the platform")?;
    install::install(&platform, &release, &InstallOptions::default())
        .await
        .context("install Steadfast")?;
    let gateway = install::gateway_url(&platform).await?;
    Ok(Cluster { platform, gateway })
}

//! `cargo xtask demo`: from a checkout to a conversation with an agent on a real
//! Kubernetes, and everything left running. Running it again brings what is
//! there up to date.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use steadfast_platform::install::{self, InstallOptions};
use steadfast_platform::release::{Profile, Release};
use steadfast_platform::tools::{self, Kind};
use steadfast_platform::{FakeModelOptions, Platform, Reach};

use crate::workspace;

const NAMESPACE: &str = "default";
const EXAMPLES: [&str; 3] = ["haiku", "weather", "http-tool"];
const READY_TIMEOUT: Duration = Duration::from_mins(3);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the platform to run on; made if there is none.
    #[arg(long, default_value = "demo")]
    name: String,
    /// Key of the real model; without one, a fake model answers from the example's fixtures.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    openai_api_key: Option<String>,
    /// What to say to the agent `weather`.
    #[arg(long, default_value = "What is the weather like in Oslo?")]
    message: String,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let progress = Progress::start();
    let stages = tools::install(&Kind::ALL).await?;
    progress.say(&format!("programs are there ({})", stages.len()))?;

    let key = arguments.openai_api_key.filter(|key| !key.is_empty());
    // A real model is out there; with a fake one, nothing leaves the platform.
    let reach = if key.is_some() { Reach::Internet } else { Reach::Inside };
    let platform = Platform::up_reaching(&arguments.name, reach).await?;
    progress.say("Kubernetes, Temporal and Redis run")?;

    let release = Release::build(Profile::Ci).await?;
    progress.say("images are built")?;

    let (options, key) = choose_model(&platform, key, &progress).await?;
    install::install(&platform, &release, &options).await?;
    progress.say("Steadfast is installed with Helm")?;

    install::set_model_key(&platform, NAMESPACE, &key).await?;
    install::apply_example(&platform, NAMESPACE, "weather").await?;
    install::wait_for_deployment(&platform, NAMESPACE, "weather-tools", READY_TIMEOUT).await?;
    install::wait_for_agent(&platform, NAMESPACE, "weather", READY_TIMEOUT).await?;
    progress.say("examples/weather is applied, and its agent is Ready")?;

    progress.say(&format!("steadfast chat weather --message {:?}", arguments.message))?;
    chat(&platform, &release, &arguments.message).await?;
    progress.say("done; everything is left running")?;
    print_addresses(&platform, &release, &arguments.name).await
}

/// Where model calls go, and the key they carry.
async fn choose_model(
    platform: &Platform,
    key: Option<String>,
    progress: &Progress,
) -> anyhow::Result<(InstallOptions, String)> {
    if let Some(key) = key {
        return Ok((InstallOptions::default(), key));
    }
    let model = platform.standing_fake_model(fixtures()).await?;
    progress.say(&format!("a fake model answers at {}", model.base_url()))?;
    Ok((
        InstallOptions::default().with_model_at(model.base_url()),
        "fake".to_owned(),
    ))
}

/// The fixtures of every example, so that all of them can be tried.
fn fixtures() -> FakeModelOptions {
    let examples = workspace::root().join("examples");
    let fixtures: Vec<PathBuf> = EXAMPLES.iter().map(|name| examples.join(name).join("model")).collect();
    FakeModelOptions {
        fixtures,
        port: None,
        latency_ms: 0,
        chunk_size: 20,
    }
}

/// Talks as a user would: with the command, through the kubeconfig.
async fn chat(platform: &Platform, release: &Release, message: &str) -> anyhow::Result<()> {
    let status = tokio::process::Command::new(&release.cli)
        .args(["chat", "weather", "--message", message])
        .env("KUBECONFIG", platform.control_plane().kubeconfig())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("start {}", release.cli.display()))?;
    ensure!(status.success(), "the conversation failed ({status})");
    Ok(())
}

async fn print_addresses(platform: &Platform, release: &Release, name: &str) -> anyhow::Result<()> {
    let gateway = install::gateway_url(platform).await?;
    let temporal_ui = platform.temporal().ui_url().unwrap_or_default();
    let mut stdout = std::io::stdout().lock();
    let enter = if name == "dev" {
        String::new()
    } else {
        format!(" --name {name}")
    };
    writeln!(
        stdout,
        "\n  gateway      {gateway}\n  \
           Temporal UI  {temporal_ui}\n  \
           use it       eval \"$(cargo xtask platform env{enter})\"\n  \
           talk         {cli} chat weather\n  \
           more         kubectl apply -f examples/haiku -f examples/http-tool\n  \
           end it       cargo xtask platform down{enter}",
        cli = release.cli.display(),
    )?;
    Ok(())
}

/// Tells what is done, and how long after the start.
struct Progress {
    started: Instant,
}

impl Progress {
    fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    fn say(&self, text: &str) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        Ok(writeln!(
            stdout,
            "[{:6.1} s] {text}",
            self.started.elapsed().as_secs_f64()
        )?)
    }
}

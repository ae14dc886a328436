//! `cargo xtask demo`: from a checkout to conversations with agents on a real
//! Kubernetes, and everything left running. Running it again brings what is
//! there up to date. With `--context` the Kubernetes is one that is there.

mod cli;
mod existing;
mod progress;

use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use steadfast_testkit::install::{self, ClusterAdmin, Example, ExistingCluster, InstallOptions};
use steadfast_testkit::release::{Profile, Release, build_programs};
use steadfast_testkit::tools::{self, Kind};
use steadfast_testkit::{FakeModelOptions, NetworkAccess, Platform};

use cli::Cli;
use existing::{Existing, ExistingArguments};
use progress::Progress;

const NAMESPACE: &str = "default";
/// Who talks in the demo where the kubeconfig has no token of its own.
const ACCOUNT: &str = "steadfast-demo";
const READY_TIMEOUT: Duration = Duration::from_mins(5);
const ORDER: &str = "Order two kettles.";
/// What else to say, and to whom.
const TRY: [(&str, &str); 8] = [
    ("bank", "Move 20 from checking to the account closed."),
    ("order-desk", "Please refund order 1003, two cups are broken."),
    ("triage", "When is invoice 2001 due?"),
    ("writer", "Write a note about Chicago today."),
    ("concierge", "Will you do my tax return?"),
    (
        "puzzler",
        "A bat and a ball cost 1.10, the bat 1 more than the ball. What is the ball?",
    ),
    ("invoice-reader", "Teapots Ltd: two teapots at 39 euros, 78 in all."),
    ("dice", "Roll two dice."),
];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name of the platform to run on; made if there is none.
    #[arg(long, default_value = "demo")]
    name: String,
    #[command(flatten)]
    existing: ExistingArguments,
    /// Key of the real model, for every example; without one, a fake model answers from their fixtures.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    openai_api_key: Option<String>,
    /// What to say to the agent `weather`.
    #[arg(long, default_value = "What is the weather like in Oslo?")]
    message: String,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let progress = Progress::start();
    let key = arguments.openai_api_key.filter(|key| !key.is_empty());
    match arguments.existing.read()? {
        Some(existing) => Box::pin(on_existing_cluster(&existing, key, &arguments.message, &progress)).await,
        None => Box::pin(on_platform(&arguments.name, key, &arguments.message, &progress)).await,
    }
}

async fn on_platform(name: &str, key: Option<String>, message: &str, progress: &Progress) -> anyhow::Result<()> {
    tools::install(&Kind::ALL)?;
    progress.print("programs are there")?;

    // A real model is out there; with a fake one, nothing leaves the platform.
    let access = if key.is_some() {
        NetworkAccess::Internet
    } else {
        NetworkAccess::Platform
    };
    let platform = async {
        let platform = Platform::up_with_network_access(name, access).await?;
        progress.print("Kubernetes, Temporal and Redis run")?;
        anyhow::Ok(platform)
    };
    let release = async {
        let release = Release::build(Profile::Ci).await?;
        progress.print("images are built")?;
        anyhow::Ok(release)
    };
    let (platform, release) = tokio::try_join!(platform, release)?;

    let (options, key) = choose_model(&platform, key, progress).await?;
    install::install(&platform, &release, &options).await?;
    progress.print("Steadfast is installed with Helm")?;

    install::set_model_keys(&platform, NAMESPACE, &key).await?;
    for example in Example::ALL {
        install::apply_example(&platform, NAMESPACE, example.name).await?;
    }
    let cli = Cli {
        program: release.cli,
        kubeconfig: Some(platform.control_plane().kubeconfig()),
        context: None,
        namespace: NAMESPACE,
        service_account: ACCOUNT,
    };
    converse(&platform, &cli, message, progress).await?;
    print_addresses(&platform, &cli, name).await
}

async fn on_existing_cluster(
    existing: &Existing,
    key: Option<String>,
    message: &str,
    progress: &Progress,
) -> anyhow::Result<()> {
    let (options, key) = existing.model(key)?;
    let cluster = ExistingCluster::of_context(&existing.context);
    // A wrong name, or a cluster that is away, is told before anything is built.
    cluster.kubectl(&["get", "--raw", "/version"]).await?;
    let programs = build_programs(Profile::Ci, &["steadfast".to_owned()]).await?;
    progress.print("the command steadfast is built")?;

    install::install_on_existing_cluster(&cluster, &existing.overrides, &existing.redis_url, &options).await?;
    progress.print(&format!(
        "Steadfast is installed with Helm in context {}",
        existing.context
    ))?;

    install::set_model_keys(&cluster, NAMESPACE, &key).await?;
    for example in Example::ALL {
        example.apply_with(&cluster, NAMESPACE, &existing.overrides).await?;
    }
    let cli = Cli {
        program: programs.join("steadfast"),
        kubeconfig: None,
        context: Some(existing.context.clone()),
        namespace: NAMESPACE,
        service_account: ACCOUNT,
    };
    converse(&cluster, &cli, message, progress).await?;
    let chat = format!(
        "{} chat --context {} --service-account {ACCOUNT} --namespace {NAMESPACE}",
        cli.program.display(),
        existing.context
    );
    print_what_to_try(&chat)
}

/// Waits for every agent, and holds the two conversations.
async fn converse(cluster: &impl ClusterAdmin, cli: &Cli, message: &str, progress: &Progress) -> anyhow::Result<()> {
    install::grant_user_and_approver(cluster, NAMESPACE, ACCOUNT).await?;
    for example in Example::ALL {
        example.wait_until_ready(cluster, NAMESPACE, READY_TIMEOUT).await?;
    }
    progress.print(&format!(
        "all {} examples are applied, and their agents are Ready",
        Example::ALL.len()
    ))?;

    progress.print(&format!("steadfast chat weather --message {message:?}"))?;
    cli.chat("weather", message).await?;
    progress.print(&format!("steadfast chat purchasing --message {ORDER:?}"))?;
    cli.chat_and_approve("purchasing", ORDER).await?;
    progress.print("done; everything is left running")
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
    progress.print(&format!("a fake model answers at {}", model.base_url()))?;
    Ok((
        InstallOptions::default().with_model_at(model.base_url()),
        "fake".to_owned(),
    ))
}

/// The fixtures of every example, so that all of them can be tried.
fn fixtures() -> FakeModelOptions {
    FakeModelOptions {
        fixtures: Example::ALL.iter().map(Example::fixtures).collect(),
        port: None,
        latency_ms: 0,
        chunk_size: 20,
    }
}

async fn print_addresses(platform: &Platform, cli: &Cli, name: &str) -> anyhow::Result<()> {
    let gateway = install::gateway_url(platform).await?;
    let temporal_ui = platform.temporal().ui_url().unwrap_or_default();
    let enter = if name == "dev" {
        String::new()
    } else {
        format!(" --name {name}")
    };
    writeln!(
        std::io::stdout().lock(),
        "\n  gateway      {gateway}\n  \
           Temporal UI  {temporal_ui}\n  \
           console      {gateway}\n  \
           sign in      with what this prints: kubectl --namespace {NAMESPACE} create token {ACCOUNT}\n  \
           use it       eval \"$(cargo xtask platform env{enter})\"\n  \
           end it       cargo xtask platform down{enter}",
    )?;
    print_what_to_try(&format!("{} chat", cli.program.display()))
}

fn print_what_to_try(chat: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\n  talk         {chat} AGENT")?;
    let width = TRY.iter().map(|(agent, _)| agent.len()).max().unwrap_or_default();
    for (agent, message) in TRY {
        writeln!(stdout, "               {agent:width$}  {message}")?;
    }
    Ok(())
}

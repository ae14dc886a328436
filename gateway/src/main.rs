//! The gateway's process: arguments, connections, ports, and shutdown on a signal.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use clap::Parser as _;
use steadfast_eventlog::{EventLog, LogReader, LogSettings, RedisConnector};
use steadfast_gateway::{
    Access, AgentDirectory, ApiKeys, CorsOrigins, Edge, Fleet, Gateway, HistoryLimits, KubernetesAccess, Links, Load,
    Metrics, Naming, Oidc, OidcLogin, OidcSettings, Prices, ProxySettings, SelfApproval, Server, Temporal, Waker,
    codec_routes, console_routes, count_tasks, router,
};
use steadfast_process::{
    AdminServer, BlockingWork, Readiness, ReadinessGauge, crypto, outbound::Outbound, prometheus, shutdown, telemetry,
};
use steadfast_temporal::TemporalSettings;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::args::{Args, OidcArgs, ProxyArgs};

mod args;

/// As the API server has it.
const NO_PREFIX: &str = "-";
const CHECK_PERIOD: Duration = Duration::from_secs(5);
/// Threads for the forms of users, which nobody can stop.
const BLOCKING_THREADS: usize = 8;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    crypto::install();
    let args = Args::parse();
    let outbound = Outbound::new(&args.outbound)?;
    let _telemetry = telemetry::init("steadfast-gateway", args.log_format, &args.log_level, &outbound)?;
    let stop = shutdown::on_signal().context("listen for signals")?;

    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry).context("register the metrics")?;
    let readiness = Readiness::new();
    let agents_known = readiness.register("agents");
    let temporal_reached = readiness.register("temporal");
    let keys_known = needs_keys(&args).then(|| readiness.register("api-keys"));
    let admin = TcpListener::bind(args.admin_address)
        .await
        .context("listen on the admin address")?;
    let admin_stop = CancellationToken::new();
    let admin =
        tokio::spawn(AdminServer::new(readiness, registry.clone()).serve(admin, admin_stop.clone().cancelled_owned()));

    let gateway = Arc::new(build(&args, metrics, &outbound, (agents_known, keys_known), &stop).await?);
    tokio::spawn(watch_temporal(gateway.clone(), temporal_reached));
    tokio::spawn(count_tasks(gateway.clone()));
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listen on {}", args.listen))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(args.listen), "serving");
    let login = oidc_login(&args.oidc)?;
    let edge = Edge {
        trusted_proxies: args.trusted_proxies,
        path_prefix: args.path_prefix,
        cors_origins: CorsOrigins::new(args.cors_origins),
    };
    let mut routes = edge.for_browsers(router(gateway.clone()));
    if !args.codec_origins.is_empty() {
        tracing::info!("the codec endpoint of Temporal's UI is on");
        routes = routes.merge(codec_routes(gateway, args.codec_origins));
    }
    if !args.no_console {
        routes = routes.merge(console_routes(login.as_ref()));
    }
    Server::new(edge.around(routes)).serve(listener, stop).await;
    admin_stop.cancel();
    admin
        .await
        .context("serve the admin address")?
        .context("serve the admin address")
}

async fn build(
    args: &Args,
    metrics: Metrics,
    outbound: &Outbound,
    (agents_known, keys_known): (ReadinessGauge, Option<ReadinessGauge>),
    stop: &CancellationToken,
) -> anyhow::Result<Gateway> {
    if args.forbid_self_approval && args.insecure_allow_anonymous {
        bail!("--forbid-self-approval needs authenticated callers: remove --insecure-allow-anonymous");
    }
    if args.proxy.proxy_user_header.is_some() && args.insecure_allow_anonymous {
        bail!("--proxy-user-header needs authenticated callers: remove --insecure-allow-anonymous");
    }
    let client = if args.revisions.is_some() && args.insecure_allow_anonymous {
        None
    } else {
        Some(kube::Client::try_default().await.context("connect to Kubernetes")?)
    };
    let temporal = TemporalSettings::new(&args.temporal)?;
    let of_redis = metrics.clone();
    let log = EventLog::new(
        RedisConnector::new(&args.redis)?,
        LogSettings::for_install(&args.install_id),
    )
    .observed_by(Box::new(move |call, error, duration| {
        of_redis.redis_call_ended(call, error, duration);
    }));
    let reader = LogReader::start(log.clone());
    let prices = args.model_prices.clone();
    Ok(Gateway {
        agents: agents(args, client.as_ref(), &agents_known, stop)?,
        waker: match &client {
            Some(client) if args.revisions.is_none() => Waker::of_cluster(client.clone()),
            _ => Waker::none(),
        },
        access: access(args, client, outbound, keys_known, stop)?,
        self_approval: if args.forbid_self_approval {
            SelfApproval::Forbidden
        } else {
            SelfApproval::Allowed
        },
        temporal: Temporal::new(temporal, metrics.clone()),
        history_limits: HistoryLimits {
            bytes: args.history_limit_bytes,
            events: args.history_limit_events,
        },
        fleet: Fleet::new(reader.clone()),
        prices: prices.map_or_else(Prices::default, |path| Prices::watch(path, stop.clone())),
        links: Links {
            temporal: args.temporal_ui_url.clone(),
            trace: args.trace_url.clone(),
        },
        reader,
        log,
        metrics,
        load: Load::default().with_rates((&args.rates).into()),
        blocking: BlockingWork::new(BLOCKING_THREADS),
        conversation_headers: args.conversation_headers.clone(),
        attachments: args.attachments.open(&args.install_id, args::environment(), outbound)?,
        stopping: stop.clone(),
    })
}

fn agents(
    args: &Args,
    client: Option<&kube::Client>,
    agents_known: &ReadinessGauge,
    stop: &CancellationToken,
) -> anyhow::Result<AgentDirectory> {
    let naming = Naming {
        install_id: args.install_id.clone(),
        default_namespace: args.default_namespace.clone(),
    };
    match (&args.revisions, client) {
        (Some(directory), _) => {
            let agents = AgentDirectory::of_revision_files(naming, directory.clone())?;
            tracing::info!(
                agents = agents.count(),
                directory = %directory.display(),
                "serving the agents of AgentRevision files"
            );
            agents_known.set(true);
            Ok(agents)
        }
        (None, Some(client)) => {
            let namespaces: Vec<String> = args
                .namespaces
                .iter()
                .filter(|name| !name.is_empty())
                .cloned()
                .collect();
            Ok(AgentDirectory::of_cluster(
                naming,
                &namespaces,
                client,
                agents_known,
                stop,
            ))
        }
        (None, None) => bail!("there is no Kubernetes API server: set --revisions"),
    }
}

fn access(
    args: &Args,
    client: Option<kube::Client>,
    outbound: &Outbound,
    keys_known: Option<ReadinessGauge>,
    stop: &CancellationToken,
) -> anyhow::Result<Access> {
    if args.insecure_allow_anonymous {
        tracing::warn!(
            "--insecure-allow-anonymous is set: every caller may do everything without a token; for local use only"
        );
        return Ok(Access::Anonymous);
    }
    let Some(client) = client else {
        bail!("tokens need a Kubernetes API server: set --insecure-allow-anonymous to run without one");
    };
    let mut access = KubernetesAccess::new(client.clone(), args.token_audiences.clone());
    if let Some(known) = keys_known {
        let namespace = client.default_namespace();
        tracing::info!(namespace, secrets = ?args.api_key_secrets, "accepting API keys");
        let keys = ApiKeys::watch(&client, namespace, &key_secrets(args), move || known.set(true), stop);
        access = access.with_api_keys(keys);
    }
    if let Some(settings) = oidc_settings(&args.oidc) {
        tracing::info!(issuer = settings.issuer, "accepting tokens of an OpenID Connect issuer");
        access = access.with_oidc(Oidc::new(settings, outbound)?);
    }
    if let Some(login) = oidc_login(&args.oidc)? {
        access = access.with_oidc_login(login);
    }
    if let Some(proxy) = proxy_settings(&args.proxy) {
        tracing::info!(headers = %proxy, "accepting the word of the trusted proxies on who a user is");
        access = access.with_proxy(proxy);
    }
    Ok(Access::Kubernetes(Box::new(access)))
}

fn key_secrets(args: &Args) -> Vec<String> {
    let names = args.api_key_secrets.iter().filter(|name| !name.is_empty());
    names.cloned().collect()
}

fn needs_keys(args: &Args) -> bool {
    !args.insecure_allow_anonymous && !key_secrets(args).is_empty()
}

fn oidc_settings(args: &OidcArgs) -> Option<OidcSettings> {
    let issuer = args.oidc_issuer.as_ref().filter(|issuer| !issuer.is_empty())?;
    let claim = &args.oidc_username_claim;
    Some(OidcSettings {
        issuer: issuer.clone(),
        audiences: args
            .oidc_audiences
            .iter()
            .filter(|audience| !audience.is_empty())
            .cloned()
            .collect(),
        username_claim: claim.clone(),
        username_prefix: match args.oidc_username_prefix.as_deref() {
            None | Some("") => OidcSettings::default_username_prefix(issuer, claim),
            Some(NO_PREFIX) => String::new(),
            Some(prefix) => prefix.to_owned(),
        },
        groups_claim: args.oidc_groups_claim.clone().filter(|claim| !claim.is_empty()),
        groups_prefix: args.oidc_groups_prefix.clone(),
    })
}

fn oidc_login(args: &OidcArgs) -> anyhow::Result<Option<OidcLogin>> {
    let client_id = args.oidc_client_id.as_ref().filter(|id| !id.is_empty());
    let (Some(settings), Some(client_id)) = (oidc_settings(args), client_id) else {
        return Ok(None);
    };
    let scopes = args.oidc_scopes.iter().filter(|scope| !scope.is_empty());
    let login = OidcLogin::new(&settings, client_id, scopes.cloned().collect());
    login.map(Some).context("the sign-in of the console at the issuer")
}

fn proxy_settings(args: &ProxyArgs) -> Option<ProxySettings> {
    Some(ProxySettings {
        user_header: args.proxy_user_header.clone()?,
        groups_header: args.proxy_groups_header.clone(),
    })
}

/// Sets `reached` once Temporal has answered. A wrong address or namespace thus shows in the
/// probe; a later outage does not make every replica unready.
async fn watch_temporal(gateway: Arc<Gateway>, reached: ReadinessGauge) {
    while let Err(error) = gateway.temporal.check().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "Temporal does not answer yet; trying again"
        );
        sleep(CHECK_PERIOD).await;
    }
    reached.set(true);
}

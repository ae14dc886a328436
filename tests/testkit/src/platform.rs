//! A whole platform under a name: a Kubernetes node that runs pods, Temporal and
//! Redis, in a network namespace of its own. It outlives the process that
//! started it, until `down`.
//!
//! `up` is idempotent: it starts what does not run, restarts what is to run
//! differently by now, and cleans up first after a start that crashed midway.

mod cgroup;
mod containerd;
mod home;
mod internet;
mod kubelet;
mod mounts;
mod network;
mod service_network;
mod sweep;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use crate::cache::Cache;
use crate::cluster::apiserver::Endpoint;
use crate::cluster::{NewUser, scheduler, users};
use crate::control_plane::{ControlPlane, ControlPlanePorts};
use crate::fake_model::{FakeModel, FakeModelOptions};
use crate::files;
use crate::port::Port;
use crate::process::{Launch, Lifetime, ProcessId, Service};
use crate::redis::Redis;
use crate::site::Site;
use crate::temporal::{Temporal, TemporalOptions, TemporalPorts, TemporalStorage, TemporalUi};
use crate::tools::{self, GoProgram, WheelProgram};

use home::Home;
pub use internet::Reach;

const READY_TIMEOUT: Duration = Duration::from_mins(2);
/// Of the fake model that stays; aimock's own default.
const FAKE_MODEL_PORT: u16 = 4010;

/// One platform that is up.
pub struct Platform {
    home: Home,
    control_plane: ControlPlane,
    scheduler: Service,
    containerd: Service,
    kubelet: Service,
    proxy: Service,
    dns: Service,
    /// Runs only when pods may reach the internet.
    internet: Service,
    temporal: Temporal,
    redis: Redis,
}

impl Platform {
    /// Starts the platform of that name, or what is missing of it, with the
    /// reach it had; a new one is closed. Needs root.
    pub async fn up(name: &str) -> anyhow::Result<Self> {
        Self::start(name, None).await
    }

    /// The same, with a reach that it keeps until told otherwise.
    pub async fn up_reaching(name: &str, reach: Reach) -> anyhow::Result<Self> {
        Self::start(name, Some(reach)).await
    }

    async fn start(name: &str, reach: Option<Reach>) -> anyhow::Result<Self> {
        require_root()?;
        let _lock = Home::lock(name).await?;
        let home = Home::find_or_make(name).await?;
        if !network::is_whole(&home) {
            // A new platform, or the remains of one.
            sweep::sweep(&home)
                .await
                .context("clean up after an earlier platform")?;
            forget(&home)?;
            network::make(&home).await?;
        }
        cgroup::make(&home)?;
        if let Some(reach) = reach {
            reach.remember(&home)?;
        }
        let platform = Self::assemble(home).await?;
        platform.launch().await?;
        Ok(platform)
    }

    /// The platform of that name, which must be up.
    pub async fn find(name: &str) -> anyhow::Result<Self> {
        let home = Home::find(name)?
            .filter(network::is_whole)
            .with_context(|| format!("there is no platform {name}: run `cargo xtask platform up --name {name}`"))?;
        Self::assemble(home).await
    }

    /// Ends the platform of that name and leaves nothing behind but the logs of
    /// its last run, in the cache folder's `logs/<name>`. Fine if there is none.
    pub async fn down(name: &str) -> anyhow::Result<()> {
        require_root()?;
        let _lock = Home::lock(name).await?;
        let Some(home) = Home::find(name)? else { return Ok(()) };
        sweep::sweep(&home)
            .await
            .with_context(|| format!("end platform {name}"))?;
        keep_logs(&home)?;
        files::remove_folder(home.folder())
    }

    pub fn name(&self) -> &str {
        self.home.name()
    }

    /// The address of the node and of everything on it, Temporal and Redis too,
    /// the same for this machine and for pods.
    pub fn node_address(&self) -> Ipv4Addr {
        self.home.node_address()
    }

    /// This machine's address as pods see it: what a test listens on there, they
    /// can reach.
    pub fn host_address(&self) -> Ipv4Addr {
        self.home.host_address()
    }

    /// A client that is the cluster's administrator.
    pub fn client(&self) -> Client {
        self.control_plane.client()
    }

    /// API server, its users and their kubeconfigs, kubectl and helm.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    pub fn temporal(&self) -> &Temporal {
        &self.temporal
    }

    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Runs kubectl as the administrator and gives what it prints.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.control_plane.kubectl(arguments).await
    }

    /// Runs helm as the administrator and gives what it prints.
    pub async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.control_plane.helm(arguments).await
    }

    /// Makes the image in a docker archive available to pods (with
    /// `imagePullPolicy: Never` or `IfNotPresent`).
    pub async fn load_image(&self, archive: &Path) -> anyhow::Result<()> {
        containerd::load_image(&self.home, archive).await
    }

    /// The main process of a container, to kill or to freeze. The kubelet starts
    /// a killed one again after about a second.
    pub async fn container_process(&self, namespace: &str, pod: &str, container: &str) -> anyhow::Result<ProcessId> {
        let found = Api::<Pod>::namespaced(self.client(), namespace).get(pod).await?;
        let statuses = found
            .status
            .and_then(|status| status.container_statuses)
            .unwrap_or_default();
        let id = statuses
            .into_iter()
            .find(|status| status.name == container)
            .and_then(|status| status.container_id)
            .with_context(|| format!("pod {pod} has no container {container} yet"))?;
        containerd::container_process(&self.home, id.trim_start_matches("containerd://")).await
    }

    /// A fake model on the node's address, for pods and this machine; gone when
    /// dropped.
    pub async fn fake_model(&self, options: FakeModelOptions) -> anyhow::Result<FakeModel> {
        let mut site = Site::of_this_process("fake-model")?;
        site.address = self.node_address();
        site.network = Some(network::namespace(&self.home));
        let model = FakeModel::at(site, Port::given_or_leased(options.port)?, &options)?;
        model.launch().await?;
        Ok(model)
    }

    /// A fake model on the node's address that stays until `down`, with these
    /// fixtures whatever it had before.
    pub async fn standing_fake_model(&self, options: FakeModelOptions) -> anyhow::Result<FakeModel> {
        let port = Port::fixed(options.port.unwrap_or(FAKE_MODEL_PORT));
        let model = FakeModel::at(site(&self.home, "fake-model")?, port, &options)?;
        model.reset().await?;
        Ok(model)
    }

    /// What a shell needs to use the platform, as names and values.
    pub fn variables(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let programs = [
            tools::go_program(GoProgram::Kubectl)?,
            tools::go_program(GoProgram::Helm)?,
            tools::wheel_program(WheelProgram::Temporal)?,
        ];
        let mut search_path: Vec<String> = programs
            .iter()
            .filter_map(|program| Some(program.parent()?.display().to_string()))
            .collect();
        search_path.push("$PATH".to_owned());
        Ok(vec![
            ("KUBECONFIG", self.control_plane.kubeconfig().display().to_string()),
            ("TEMPORAL_ADDRESS", self.temporal.address()),
            ("TEMPORAL_UI", self.temporal.ui_url().unwrap_or_default()),
            ("REDIS_URL", self.redis.url()),
            ("STEADFAST_NODE_ADDRESS", self.node_address().to_string()),
            ("STEADFAST_HOST_ADDRESS", self.host_address().to_string()),
            ("PATH", search_path.join(":")),
        ])
    }

    /// All programs that are to run, running or not.
    pub fn services(&self) -> Vec<&Service> {
        let mut services = self.control_plane.services();
        services.extend([
            &self.scheduler,
            &self.containerd,
            &self.kubelet,
            &self.proxy,
            &self.dns,
            self.temporal.service(),
            self.redis.service(),
        ]);
        if Reach::of(&self.home) == Reach::Internet {
            services.push(&self.internet);
        }
        services
    }

    /// Writes every configuration and describes every program; starts none.
    async fn assemble(home: Home) -> anyhow::Result<Self> {
        let users = [
            NewUser::new(users::SCHEDULER, &[]),
            NewUser::new(users::PROXY, &[]),
            NewUser::new(kubelet::USER, &[kubelet::GROUP]),
        ];
        let ports = ControlPlanePorts {
            api: Port::fixed(6443),
            etcd_client: Port::fixed(2379),
            etcd_peer: Port::fixed(2380),
        };
        let place = site(&home, "control-plane")?;
        let control_plane = ControlPlane::at(place, ports, Endpoint::Published, &users).await?;

        let service = |launch: Launch| {
            let launch = launch.in_network(Some(&network::namespace(&home)));
            Service::new(launch, lifetime(&home)?, &home.logs())
        };
        let scheduler = service(scheduler::launch(
            &tools::go_program(GoProgram::KubeScheduler)?,
            &control_plane.component_kubeconfig(users::SCHEDULER).await?,
        ))?;
        let containerd = service(containerd::prepare(&home)?)?;
        let kubelet = service(kubelet::prepare(
            &home,
            &control_plane.component_kubeconfig(kubelet::USER).await?,
            &control_plane.certificate_authority(),
        )?)?;
        let proxy = control_plane.component_kubeconfig(users::PROXY).await?;
        let proxy = service(service_network::prepare_proxy(&home, &proxy)?)?;
        let dns = service(service_network::prepare_dns(&home, &control_plane.kubeconfig())?)?;
        // In the host's namespace, whose way out it lends.
        let internet = Service::new(internet::launch(&home)?, lifetime(&home)?, &home.logs())?;
        let temporal = Temporal::at(
            site(&home, "temporal")?,
            TemporalPorts {
                grpc: Port::fixed(7233),
                http: Port::fixed(7243),
                ui: Port::fixed(8233),
            },
            TemporalOptions {
                storage: TemporalStorage::File,
                ui: TemporalUi::Served,
                ..TemporalOptions::default()
            },
        )?;
        let redis = Redis::at(site(&home, "redis")?, Port::fixed(6379))?;
        Ok(Self {
            home,
            control_plane,
            scheduler,
            containerd,
            kubelet,
            proxy,
            dns,
            internet,
            temporal,
            redis,
        })
    }

    /// Starts what does not run; returns when all of it is ready.
    async fn launch(&self) -> anyhow::Result<()> {
        let node = async {
            self.containerd.start()?;
            self.containerd
                .ready(READY_TIMEOUT, || containerd::is_ready(&self.home))
                .await?;
            containerd::load_pause_image(&self.home).await
        };
        let ((), (), (), ()) = tokio::try_join!(
            node,
            self.control_plane.launch(),
            self.temporal.launch(),
            self.redis.launch(),
        )?;
        match Reach::of(&self.home) {
            Reach::Inside => self.internet.kill().await?,
            Reach::Internet => {
                self.internet.start()?;
                self.internet
                    .ready(READY_TIMEOUT, || internet::is_ready(&self.home))
                    .await?;
            }
        }
        self.scheduler.start()?;
        self.kubelet.start()?;
        self.proxy.start()?;
        self.dns.start()?;
        let client = self.client();
        tokio::try_join!(
            self.kubelet.ready(READY_TIMEOUT, || kubelet::is_ready(&client)),
            self.proxy
                .ready(READY_TIMEOUT, || service_network::proxy_is_ready(&self.home)),
            self.dns
                .ready(READY_TIMEOUT, || service_network::dns_is_ready(&self.home)),
        )?;
        ensure!(self.scheduler.is_alive(), "the scheduler ended; its log says why");
        Ok(())
    }
}

fn require_root() -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the platform needs root (network namespaces, containers): run this as root"
    );
    Ok(())
}

fn lifetime(home: &Home) -> anyhow::Result<Lifetime> {
    Ok(Lifetime::UntilKilled {
        records: home.records()?,
    })
}

fn site(home: &Home, name: &str) -> anyhow::Result<Site> {
    Ok(Site {
        folder: home.path(name),
        logs: home.logs(),
        address: home.node_address(),
        network: Some(network::namespace(home)),
        lifetime: lifetime(home)?,
        _scratch: None,
    })
}

/// Removes what an earlier platform of that name wrote, but for its logs.
fn forget(home: &Home) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(home.folder()).with_context(|| format!("list {}", home.folder().display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path == home.logs() || path == home.path(home::SLOT) {
            continue;
        }
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

fn keep_logs(home: &Home) -> anyhow::Result<()> {
    let kept = Cache::open()?.root().join("logs").join(home.name());
    files::remove_folder(&kept)?;
    if !home.logs().exists() {
        return Ok(());
    }
    if let Some(folder) = kept.parent() {
        files::make_folder(folder)?;
    }
    std::fs::rename(home.logs(), &kept).with_context(|| format!("keep the logs in {}", kept.display()))
}

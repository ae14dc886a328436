//! A named platform: a Kubernetes node that runs pods, Temporal and Redis, in a
//! network namespace of its own. It outlives the process that started it, until
//! `down`.
//!
//! `up` is idempotent: it starts the programs that do not run, restarts those
//! whose configuration has changed, and cleans up first after an incomplete start.

mod cgroup;
mod cleanup;
mod containerd;
mod data_dir;
mod internet;
mod kubelet;
mod mounts;
mod network;
mod service_network;
mod startup;

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use crate::{
    cache::Cache,
    control_plane::ControlPlane,
    fake_model::{FakeModel, FakeModelOptions},
    files,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Lifetime, ProcessId, Service},
    redis::Redis,
    temporal::Temporal,
    tools::{self, GoProgram, WheelProgram},
};
use data_dir::DataDir;

pub use internet::NetworkAccess;

/// The port of `standing_fake_model`: aimock's own default.
const FAKE_MODEL_PORT: u16 = 4010;

/// One platform that is up.
pub struct Platform {
    data_dir: DataDir,
    control_plane: ControlPlane,
    scheduler: Service,
    containerd: Service,
    kubelet: Service,
    proxy: Service,
    dns: Service,
    /// Runs only with `NetworkAccess::Internet`.
    internet: Service,
    temporal: Temporal,
    redis: Redis,
}

impl Platform {
    /// Starts the platform of this name, or its missing parts, with the network
    /// access it had last; a new platform has none. Needs root.
    pub async fn up(name: &str) -> anyhow::Result<Self> {
        Self::up_with(name, None).await
    }

    /// Like [`up`](Self::up), with this network access from now on.
    pub async fn up_with_network_access(name: &str, access: NetworkAccess) -> anyhow::Result<Self> {
        Self::up_with(name, Some(access)).await
    }

    async fn up_with(name: &str, access: Option<NetworkAccess>) -> anyhow::Result<Self> {
        require_root()?;
        let _lock = DataDir::lock(name).await?;
        let data_dir = DataDir::find_or_create(name).await?;
        if !network::is_complete(&data_dir) {
            // A new platform, or an incomplete one.
            cleanup::remove_everything(&data_dir)
                .await
                .context("clean up after an earlier platform")?;
            remove_all_but_logs(&data_dir)?;
            network::create(&data_dir).await?;
        }
        cgroup::create(&data_dir)?;
        if let Some(access) = access {
            access.save(&data_dir)?;
        }
        let platform = Self::configure(data_dir).await?;
        platform.launch().await?;
        Ok(platform)
    }

    /// The platform of this name; an error if it is not up.
    pub async fn find(name: &str) -> anyhow::Result<Self> {
        let data_dir = DataDir::find(name)?
            .filter(network::is_complete)
            .with_context(|| format!("there is no platform {name}: run `cargo xtask platform up --name {name}`"))?;
        Self::configure(data_dir).await
    }

    /// Ends the platform of this name. Only the logs of its last run stay, in the
    /// cache directory's `logs/<name>`. Succeeds if there is no such platform.
    pub async fn down(name: &str) -> anyhow::Result<()> {
        require_root()?;
        let _lock = DataDir::lock(name).await?;
        let Some(data_dir) = DataDir::find(name)? else {
            return Ok(());
        };
        cleanup::remove_everything(&data_dir)
            .await
            .with_context(|| format!("end platform {name}"))?;
        keep_logs(&data_dir)?;
        files::remove_dir(data_dir.path())
    }

    pub fn name(&self) -> &str {
        self.data_dir.name()
    }

    /// The address of the node and of all services on it, Temporal and Redis too.
    /// It is the same for this machine and for pods.
    pub fn node_address(&self) -> Ipv4Addr {
        self.data_dir.node_address()
    }

    /// This machine's address for pods: they can reach a listener on it.
    pub fn host_address(&self) -> Ipv4Addr {
        self.data_dir.host_address()
    }

    /// A client with the rights of the cluster's administrator.
    pub fn client(&self) -> Client {
        self.control_plane.client()
    }

    /// The API server, its users and their kubeconfigs, kubectl and helm.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    pub fn temporal(&self) -> &Temporal {
        &self.temporal
    }

    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Runs kubectl as the administrator and returns its standard output.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.control_plane.kubectl(arguments).await
    }

    /// Runs helm as the administrator and returns its standard output.
    pub async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.control_plane.helm(arguments).await
    }

    /// Imports the image of a docker archive. Pods can use it with the
    /// `imagePullPolicy` `Never` or `IfNotPresent`.
    pub async fn load_image(&self, archive: &Path) -> anyhow::Result<()> {
        containerd::load_image(&self.data_dir, archive).await
    }

    /// The main process of a container, to kill or to freeze it. The kubelet
    /// restarts a killed container after about a second.
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
        containerd::container_process(&self.data_dir, id.trim_start_matches("containerd://")).await
    }

    /// A fake model on the node's address, for pods and this machine. It ends
    /// when the value is dropped.
    pub async fn fake_model(&self, options: FakeModelOptions) -> anyhow::Result<FakeModel> {
        let mut install_root = InstallRoot::of_this_process("fake-model")?;
        install_root.address = self.node_address();
        install_root.network = Some(network::namespace(&self.data_dir));
        let model = FakeModel::at(install_root, port::given_or_leased(options.port)?, &options)?;
        model.launch().await?;
        Ok(model)
    }

    /// A fake model on the node's address that runs until `down`. An earlier one
    /// is restarted with these fixtures.
    pub async fn standing_fake_model(&self, options: FakeModelOptions) -> anyhow::Result<FakeModel> {
        let port = Port::fixed(options.port.unwrap_or(FAKE_MODEL_PORT));
        let model = FakeModel::at(install_root(&self.data_dir, "fake-model")?, port, &options)?;
        model.reset().await?;
        Ok(model)
    }

    /// The environment variables with which a shell uses the platform.
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

    /// All programs that should run, whether they do or not.
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
        if NetworkAccess::saved(&self.data_dir) == NetworkAccess::Internet {
            services.push(&self.internet);
        }
        services
    }
}

fn require_root() -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the platform needs root (network namespaces, containers): run this as root"
    );
    Ok(())
}

fn lifetime(data_dir: &DataDir) -> anyhow::Result<Lifetime> {
    Ok(Lifetime::UntilKilled {
        records: data_dir.process_records()?,
    })
}

fn install_root(data_dir: &DataDir, name: &str) -> anyhow::Result<InstallRoot> {
    Ok(InstallRoot {
        dir: data_dir.join(name),
        logs: data_dir.logs(),
        address: data_dir.node_address(),
        network: Some(network::namespace(data_dir)),
        lifetime: lifetime(data_dir)?,
        _temp_dir: None,
    })
}

/// Removes the files of an earlier platform of this name, except its logs.
fn remove_all_but_logs(data_dir: &DataDir) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(data_dir.path()).with_context(|| format!("list {}", data_dir.path().display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path == data_dir.logs() || path == data_dir.join(data_dir::SLOT) {
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

fn keep_logs(data_dir: &DataDir) -> anyhow::Result<()> {
    let kept = Cache::open()?.root().join("logs").join(data_dir.name());
    files::remove_dir(&kept)?;
    if !data_dir.logs().exists() {
        return Ok(());
    }
    if let Some(dir) = kept.parent() {
        files::create_dir(dir)?;
    }
    std::fs::rename(data_dir.logs(), &kept).with_context(|| format!("keep the logs in {}", kept.display()))
}

//! Configures and starts the programs of a platform.

use std::time::Duration;

use anyhow::ensure;

use super::{
    NetworkAccess, Platform, containerd, data_dir::DataDir, install_root, internet, kubelet, lifetime, network,
    service_network,
};
use crate::{
    cluster::{NewUser, apiserver::Endpoint, scheduler, users},
    control_plane::{Audit, ControlPlane, ControlPlanePorts},
    port::Port,
    process::{Launch, Service},
    redis::Redis,
    temporal::{Temporal, TemporalOptions, TemporalPorts, TemporalStorage, TemporalUi},
    tools::{self, GoProgram},
};

const READY_TIMEOUT: Duration = Duration::from_mins(2);

impl Platform {
    /// Writes every configuration file. Starts no program.
    pub(super) async fn configure(data_dir: DataDir) -> anyhow::Result<Self> {
        let control_plane = control_plane(&data_dir).await?;
        let service = |launch: Launch| {
            let launch = launch.in_network(Some(&network::namespace(&data_dir)));
            Service::new(launch, lifetime(&data_dir)?, &data_dir.logs())
        };
        let scheduler = service(scheduler::launch(
            &tools::go_program(GoProgram::KubeScheduler)?,
            &control_plane.component_kubeconfig(users::SCHEDULER).await?,
        ))?;
        let containerd = service(containerd::configure(&data_dir)?)?;
        let kubelet = service(kubelet::configure(
            &data_dir,
            &control_plane.component_kubeconfig(kubelet::USER).await?,
            &control_plane.certificate_authority(),
        )?)?;
        let proxy = control_plane.component_kubeconfig(users::PROXY).await?;
        let proxy = service(service_network::configure_proxy(&data_dir, &proxy)?)?;
        let dns = service(service_network::configure_dns(&data_dir, &control_plane.kubeconfig())?)?;
        // Runs in the host's network namespace and connects the platform's to it.
        let internet = Service::new(internet::launch(&data_dir)?, lifetime(&data_dir)?, &data_dir.logs())?;
        let temporal = Temporal::at(
            install_root(&data_dir, "temporal")?,
            TemporalPorts {
                grpc: Port::fixed(7233),
                http: Port::fixed(7243),
                ui: Port::fixed(8233),
                metrics: None,
            },
            TemporalOptions {
                storage: TemporalStorage::File,
                ui: TemporalUi::Served,
                ..TemporalOptions::default()
            },
        )?;
        let redis = Redis::at(install_root(&data_dir, "redis")?, Port::fixed(6379))?;
        Ok(Self {
            data_dir,
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

    /// Starts the programs that do not run, and waits until all are ready.
    pub(super) async fn launch(&self) -> anyhow::Result<()> {
        let ((), (), (), ()) = tokio::try_join!(
            self.launch_containerd(),
            self.control_plane.launch(),
            self.temporal.launch(),
            self.redis.launch(),
        )?;
        match NetworkAccess::saved(&self.data_dir) {
            NetworkAccess::Platform => self.internet.kill().await?,
            NetworkAccess::Internet => {
                self.internet.start()?;
                self.internet
                    .ready(READY_TIMEOUT, || internet::is_ready(&self.data_dir))
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
                .ready(READY_TIMEOUT, || service_network::proxy_is_ready(&self.data_dir)),
            self.dns
                .ready(READY_TIMEOUT, || service_network::dns_is_ready(&self.data_dir)),
        )?;
        ensure!(
            self.scheduler.is_alive(),
            "the scheduler ended: see {}",
            self.scheduler.log().display()
        );
        Ok(())
    }

    async fn launch_containerd(&self) -> anyhow::Result<()> {
        self.containerd.start()?;
        self.containerd
            .ready(READY_TIMEOUT, || containerd::is_ready(&self.data_dir))
            .await?;
        containerd::load_pause_image(&self.data_dir).await
    }
}

async fn control_plane(data_dir: &DataDir) -> anyhow::Result<ControlPlane> {
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
    let install_root = install_root(data_dir, "control-plane")?;
    ControlPlane::at(install_root, ports, Endpoint::Published, (&users, Audit::Nobody)).await
}

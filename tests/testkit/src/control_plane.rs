//! A Kubernetes API without nodes: etcd, API server and controller manager.
//! Needs no root and is ready in a few seconds; no pod ever runs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use kube::Client;
use tokio::sync::Mutex;

use crate::cluster::apiserver::{self, Endpoint, Listener};
use crate::cluster::certificates::Certificates;
use crate::cluster::users::{self, Users};
use crate::cluster::{NewUser, User, controller_manager, etcd, kubeconfig};
use crate::files;
use crate::port::Port;
use crate::process::{Launch, Service, output};
use crate::site::Site;
use crate::tools::{self, GoProgram};

const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// How to start a control plane.
#[derive(Clone, Debug, Default)]
pub struct ControlPlaneOptions {
    /// Users besides the administrator. Making them at the start is free;
    /// `add_user` restarts the API server.
    pub users: Vec<NewUser>,
}

/// The ports of a control plane.
#[derive(Debug)]
pub(crate) struct ControlPlanePorts {
    pub(crate) api: Port,
    pub(crate) etcd_client: Port,
    pub(crate) etcd_peer: Port,
}

/// One control plane. Fields end in their order: clients before servers.
pub struct ControlPlane {
    controller_manager: Service,
    apiserver: Service,
    etcd: Service,
    certificates: Certificates,
    users: Mutex<Users>,
    admin: User,
    client: Client,
    url: String,
    _ports: ControlPlanePorts,
    site: Site,
}

impl ControlPlane {
    /// On 127.0.0.1; gone when dropped.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(ControlPlaneOptions::default()).await
    }

    pub async fn start_with(options: ControlPlaneOptions) -> anyhow::Result<Self> {
        let ports = ControlPlanePorts {
            api: Port::lease()?,
            etcd_client: Port::lease()?,
            etcd_peer: Port::lease()?,
        };
        let site = Site::of_this_process("control-plane")?;
        let control_plane = Self::at(site, ports, Endpoint::Private, &options.users).await?;
        control_plane.launch().await?;
        Ok(control_plane)
    }

    pub(crate) async fn at(
        site: Site,
        ports: ControlPlanePorts,
        endpoint: Endpoint,
        users: &[NewUser],
    ) -> anyhow::Result<Self> {
        let url = format!("https://{}:{}", site.address, ports.api.number());
        let certificates = Certificates::ensure(site.folder.join("certificates"), site.address)?;
        let mut wanted = vec![
            NewUser::new(users::ADMIN, &["system:masters"]),
            NewUser::new(users::CONTROLLER_MANAGER, &[]),
        ];
        wanted.extend_from_slice(users);
        let users = Users::ensure(site.folder.join("tokens.csv"), &wanted)?;
        let admin = users.get(users::ADMIN)?.clone();
        let client = kubeconfig::client(&url, &certificates.authority(), &admin).await?;

        let service = |launch: Launch| {
            let launch = launch.in_network(site.network.as_deref());
            Service::new(launch, site.lifetime.clone(), &site.logs())
        };
        let etcd = service(etcd::launch(
            &tools::installed("etcd")?,
            &site.data().join("etcd"),
            ports.etcd_client.number(),
            ports.etcd_peer.number(),
        ))?;
        let listener = Listener {
            address: site.address,
            port: ports.api.number(),
            endpoint,
        };
        let apiserver = service(apiserver::launch(
            &tools::go_program(GoProgram::KubeApiserver)?,
            listener,
            ports.etcd_client.number(),
            &certificates,
            users.path(),
        ))?;
        let controller_kubeconfig = site.folder.join("controller-manager.kubeconfig");
        let controller = users.get(users::CONTROLLER_MANAGER)?;
        kubeconfig::write(&controller_kubeconfig, &url, &certificates.authority(), controller)?;
        let controller_manager = service(controller_manager::launch(
            &tools::go_program(GoProgram::KubeControllerManager)?,
            &controller_kubeconfig,
            &certificates,
            &site.data().join("plugins-of-volumes"),
        ))?;
        let control_plane = Self {
            controller_manager,
            apiserver,
            etcd,
            certificates,
            users: Mutex::new(users),
            admin,
            client,
            url,
            _ports: ports,
            site,
        };
        control_plane.write_kubeconfig(&control_plane.admin)?;
        Ok(control_plane)
    }

    /// Starts what does not run, and waits until it is ready.
    pub(crate) async fn launch(&self) -> anyhow::Result<()> {
        files::make_folder(&self.site.data())?;
        self.etcd.start()?;
        self.apiserver.start()?;
        self.apiserver
            .ready(READY_TIMEOUT, async || {
                ensure!(self.etcd.is_alive(), "etcd ended; see {}", self.etcd.log().display());
                apiserver::is_ready(&self.client).await
            })
            .await?;
        self.controller_manager.start()?;
        self.controller_manager
            .ready(READY_TIMEOUT, || controller_manager::is_ready(&self.client))
            .await
    }

    /// A client that is the administrator.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// `https://<address>:<port>` of the API server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate that vouches for the API server's.
    pub fn certificate_authority(&self) -> PathBuf {
        self.certificates.authority()
    }

    /// The administrator: name and token.
    pub fn admin(&self) -> &User {
        &self.admin
    }

    /// The administrator's kubeconfig file.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_path(&self.admin)
    }

    /// A user given at the start or added since.
    pub async fn user(&self, name: &str) -> anyhow::Result<User> {
        self.users.lock().await.get(name).cloned()
    }

    /// Makes a user. The API server reads its users at its start, so it is
    /// restarted: about two seconds without it.
    pub async fn add_user(&self, user: NewUser) -> anyhow::Result<User> {
        let mut users = self.users.lock().await;
        if let Some(known) = users.find(&user.name)
            && known.groups == user.groups
        {
            return Ok(known.clone());
        }
        let user = users.add(user)?;
        self.apiserver.kill().await?;
        self.launch().await?;
        Ok(user)
    }

    /// A kubeconfig file of that user.
    pub fn kubeconfig_of(&self, user: &User) -> anyhow::Result<PathBuf> {
        self.write_kubeconfig(user)
    }

    /// A client that is that user.
    pub async fn client_of(&self, user: &User) -> anyhow::Result<Client> {
        kubeconfig::client(&self.url, &self.certificates.authority(), user).await
    }

    /// Runs kubectl as the administrator and gives what it prints.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run(GoProgram::Kubectl, arguments).await
    }

    /// Runs helm as the administrator and gives what it prints.
    pub async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run(GoProgram::Helm, arguments).await
    }

    /// The API server, to kill, freeze or read the log of; `restart` brings it
    /// back.
    pub fn apiserver(&self) -> &Service {
        &self.apiserver
    }

    /// Starts again whatever of it was killed.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.launch().await
    }

    async fn run(&self, program: GoProgram, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = tokio::process::Command::new(tools::go_program(program)?);
        command.args(arguments).env("KUBECONFIG", self.kubeconfig());
        // Nothing is read from, or left in, a home folder.
        for (variable, folder) in [
            ("HELM_CACHE_HOME", "helm/cache"),
            ("HELM_CONFIG_HOME", "helm/config"),
            ("HELM_DATA_HOME", "helm/data"),
            ("KUBECACHEDIR", "kubectl"),
        ] {
            command.env(variable, self.site.folder.join(folder));
        }
        output(&mut command).await
    }

    fn kubeconfig_path(&self, user: &User) -> PathBuf {
        self.site
            .folder
            .join(format!("{}.kubeconfig", user.name.replace(':', "-")))
    }

    fn write_kubeconfig(&self, user: &User) -> anyhow::Result<PathBuf> {
        let path = self.kubeconfig_path(user);
        kubeconfig::write(&path, &self.url, &self.certificates.authority(), user)?;
        Ok(path)
    }

    /// All its programs.
    pub(crate) fn services(&self) -> Vec<&Service> {
        vec![&self.etcd, &self.apiserver, &self.controller_manager]
    }

    /// Writes the kubeconfig of a component for the user it is.
    pub(crate) async fn component_kubeconfig(&self, user: &str) -> anyhow::Result<PathBuf> {
        let user = self.user(user).await?;
        self.write_kubeconfig(&user)
    }
}

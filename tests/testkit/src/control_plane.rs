//! A Kubernetes control plane without nodes: etcd, API server and controller
//! manager. Needs no root and is ready in a few seconds. Pods never run, unless a
//! [`LocalNode`](crate::LocalNode) runs them or a [`PlayedNode`](crate::PlayedNode) says so.

mod definitions;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use kube::Client;
use tokio::sync::Mutex;

use crate::{
    cluster::{
        AuditLog, NewUser, User,
        apiserver::{self, Endpoint, Listener},
        certificates::Certificates,
        controller_manager, etcd, kubeconfig,
        users::{self, Users},
    },
    files,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service, output},
    tools::{self, GoProgram},
};

const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// How to start a control plane.
#[derive(Clone, Debug, Default)]
pub struct ControlPlaneOptions {
    /// Users besides the administrator. To create them at the start costs
    /// nothing; `add_user` restarts the API server.
    pub users: Vec<NewUser>,
}

/// Whose writes the API server records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audit {
    Nobody,
    /// Those of the users that the options name.
    Users,
}

/// The ports of a control plane.
#[derive(Debug)]
pub(crate) struct ControlPlanePorts {
    pub(crate) api: Port,
    pub(crate) etcd_client: Port,
    pub(crate) etcd_peer: Port,
}

/// One control plane. Fields are dropped in their order: clients before servers.
pub struct ControlPlane {
    controller_manager: Service,
    apiserver: Service,
    etcd: Service,
    audit: Option<AuditLog>,
    certificates: Certificates,
    users: Mutex<Users>,
    admin: User,
    client: Client,
    url: String,
    _ports: ControlPlanePorts,
    install_root: InstallRoot,
}

impl ControlPlane {
    /// Starts one on 127.0.0.1. It ends when the value is dropped.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(ControlPlaneOptions::default()).await
    }

    pub async fn start_with(options: ControlPlaneOptions) -> anyhow::Result<Self> {
        Self::start_recording(&options, Audit::Nobody).await
    }

    /// Like [`start_with`](Self::start_with), with a record of what these users write: see [`audit`](Self::audit).
    pub async fn start_audited(options: ControlPlaneOptions) -> anyhow::Result<Self> {
        Self::start_recording(&options, Audit::Users).await
    }

    async fn start_recording(options: &ControlPlaneOptions, audit: Audit) -> anyhow::Result<Self> {
        let ports = ControlPlanePorts {
            api: port::lease()?,
            etcd_client: port::lease()?,
            etcd_peer: port::lease()?,
        };
        let install_root = InstallRoot::of_this_process("control-plane")?;
        let control_plane = Self::at(install_root, ports, Endpoint::Private, (&options.users, audit)).await?;
        control_plane.launch().await?;
        Ok(control_plane)
    }

    pub(crate) async fn at(
        install_root: InstallRoot,
        ports: ControlPlanePorts,
        endpoint: Endpoint,
        (further, audit): (&[NewUser], Audit),
    ) -> anyhow::Result<Self> {
        let url = format!("https://{}:{}", install_root.address, ports.api.number());
        let certificates = Certificates::ensure(install_root.dir.join("certificates"), install_root.address)?;
        let mut wanted = vec![
            NewUser::new(users::ADMIN, &["system:masters"]),
            NewUser::new(users::CONTROLLER_MANAGER, &[]),
        ];
        wanted.extend_from_slice(further);
        let users = Users::ensure(install_root.dir.join("tokens.csv"), &wanted)?;
        let admin = users.get(users::ADMIN)?.clone();
        let client = kubeconfig::client(&url, &certificates.authority(), &admin).await?;
        let audited = further.iter().map(|user| users.get(&user.name).cloned());
        let audited = audited.collect::<anyhow::Result<Vec<User>>>()?;
        let audit = match audit {
            Audit::Nobody => None,
            Audit::Users => Some(AuditLog::of(&install_root.dir, &audited)?),
        };

        let service = |launch: Launch| {
            let launch = launch.in_network(install_root.network.as_deref());
            Service::new(launch, install_root.lifetime.clone(), &install_root.logs())
        };
        let etcd = service(etcd::launch(
            &tools::installed("etcd")?,
            &install_root.data().join("etcd"),
            ports.etcd_client.number(),
            ports.etcd_peer.number(),
        ))?;
        let listener = Listener {
            address: install_root.address,
            port: ports.api.number(),
            endpoint,
        };
        let apiserver = service(apiserver::launch(
            &tools::go_program(GoProgram::KubeApiserver)?,
            listener,
            ports.etcd_client.number(),
            &certificates,
            users.path(),
            audit.as_ref(),
        ))?;
        let controller_kubeconfig = install_root.dir.join("controller-manager.kubeconfig");
        let controller = users.get(users::CONTROLLER_MANAGER)?;
        kubeconfig::write(&controller_kubeconfig, &url, &certificates.authority(), controller)?;
        let controller_manager = service(controller_manager::launch(
            &tools::go_program(GoProgram::KubeControllerManager)?,
            &controller_kubeconfig,
            &certificates,
            &install_root.data().join("plugins-of-volumes"),
        ))?;
        let control_plane = Self {
            controller_manager,
            apiserver,
            etcd,
            audit,
            certificates,
            users: Mutex::new(users),
            admin,
            client,
            url,
            _ports: ports,
            install_root,
        };
        control_plane.write_kubeconfig(&control_plane.admin)?;
        Ok(control_plane)
    }

    /// Starts the programs that do not run, and waits until all are ready.
    pub(crate) async fn launch(&self) -> anyhow::Result<()> {
        files::create_dir(&self.install_root.data())?;
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

    /// A client with the rights of the administrator.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// `https://<address>:<port>` of the API server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate authority of the API server, in PEM.
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

    /// A user that was created at the start or by `add_user`.
    pub async fn user(&self, name: &str) -> anyhow::Result<User> {
        self.users.lock().await.get(name).cloned()
    }

    /// Creates a user. The API server reads its users only at its start, so this
    /// restarts it: it is away for about two seconds.
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

    /// A kubeconfig file of this user.
    pub fn kubeconfig_of(&self, user: &User) -> anyhow::Result<PathBuf> {
        self.write_kubeconfig(user)
    }

    /// A client with the rights of this user.
    pub async fn client_of(&self, user: &User) -> anyhow::Result<Client> {
        kubeconfig::client(&self.url, &self.certificates.authority(), user).await
    }

    /// Runs kubectl as the administrator and returns its standard output.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run(GoProgram::Kubectl, arguments).await
    }

    /// Runs helm as the administrator and returns its standard output.
    pub async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run(GoProgram::Helm, arguments).await
    }

    /// The API server process: to kill it, to freeze it, to read its log.
    /// `restart` starts it again.
    pub fn apiserver(&self) -> &Service {
        &self.apiserver
    }

    /// What the users of the options have written; only of one that was started with a record of it.
    pub fn audit(&self) -> anyhow::Result<&AuditLog> {
        self.audit.as_ref().context("this control plane records no writes")
    }

    /// Starts the programs that were killed.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.launch().await
    }

    /// Runs a script in a directory as the administrator, as a person with kubectl and helm does, and returns its standard
    /// output.
    pub async fn shell(&self, script: &str, directory: &Path) -> anyhow::Result<String> {
        let programs = [GoProgram::Kubectl, GoProgram::Helm].map(|program| {
            let path = tools::go_program(program)?;
            let parent = path.parent().context("a program in a directory")?;
            anyhow::Ok(parent.display().to_string())
        });
        let path = programs.into_iter().collect::<anyhow::Result<Vec<_>>>()?.join(":");
        let mut command = tokio::process::Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c"])
            .arg(format!("export PATH={path}:$PATH\n{script}"))
            .current_dir(directory);
        self.configure(&mut command);
        output(&mut command).await
    }

    async fn run(&self, program: GoProgram, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = tokio::process::Command::new(tools::go_program(program)?);
        command.args(arguments);
        self.configure(&mut command);
        output(&mut command).await
    }

    fn configure(&self, command: &mut tokio::process::Command) {
        command.env("KUBECONFIG", self.kubeconfig());
        // The user's home directory is neither read nor written.
        for (variable, dir) in [
            ("HELM_CACHE_HOME", "helm/cache"),
            ("HELM_CONFIG_HOME", "helm/config"),
            ("HELM_DATA_HOME", "helm/data"),
            ("KUBECACHEDIR", "kubectl"),
        ] {
            command.env(variable, self.install_root.dir.join(dir));
        }
    }

    fn kubeconfig_path(&self, user: &User) -> PathBuf {
        self.install_root
            .dir
            .join(format!("{}.kubeconfig", user.name.replace(':', "-")))
    }

    fn write_kubeconfig(&self, user: &User) -> anyhow::Result<PathBuf> {
        let path = self.kubeconfig_path(user);
        kubeconfig::write(&path, &self.url, &self.certificates.authority(), user)?;
        Ok(path)
    }

    /// All programs of the control plane.
    pub(crate) fn services(&self) -> Vec<&Service> {
        vec![&self.etcd, &self.apiserver, &self.controller_manager]
    }

    /// Writes the kubeconfig of a component that is this user.
    pub(crate) async fn component_kubeconfig(&self, user: &str) -> anyhow::Result<PathBuf> {
        let user = self.user(user).await?;
        self.write_kubeconfig(&user)
    }
}

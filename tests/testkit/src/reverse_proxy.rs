//! Proxies in front of the gateway, as they stand in front of it in a cluster: Debian's NGINX with the directives of an
//! Ingress, and Traefik, which reads what leads to the gateway from an API server.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;

use crate::{
    ControlPlane, files,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service},
    tools::{self, WheelProgram},
};

/// Both start within a second; a busy machine takes longer.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What Traefik reads from a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Ingresses. Services of the type `ExternalName` lead out of the cluster.
    Ingress,
    /// Gateways with a listener at the port of the proxy, and their routes.
    GatewayApi,
}

/// One proxy. It ends when the value is dropped.
#[derive(Debug)]
pub struct ReverseProxy {
    service: Service,
    scheme: &'static str,
    port: Port,
    _install_root: InstallRoot,
}

impl ReverseProxy {
    /// NGINX in front of `upstream` (`<address>:<port>`), with these directives beside those that any proxy needs.
    pub async fn nginx(upstream: &str, directives: &[(String, String)]) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process("nginx")?;
        let port = port::lease()?;
        let dir = install_root.dir.display();
        let directives: Vec<String> = directives
            .iter()
            .map(|(name, value)| format!("      {name} {value};\n"))
            .collect();
        let directives = directives.concat();
        // One process, which ends with ours. Its files are in a directory of the user who started it.
        let user = if nix::unistd::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let config = format!(
            "daemon off;\nmaster_process off;\n{user}\npid {dir}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n  \
             access_log off;\n  client_body_temp_path {dir}/body;\n  proxy_temp_path {dir}/proxy;\n  \
             fastcgi_temp_path {dir}/fastcgi;\n  uwsgi_temp_path {dir}/uwsgi;\n  scgi_temp_path {dir}/scgi;\n  \
             server {{\n    listen {address}:{port};\n    location / {{\n      proxy_pass http://{upstream};\n      \
             proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      \
             proxy_ignore_headers X-Accel-Buffering;\n{directives}    }}\n  }}\n}}\n",
            address = install_root.address,
            port = port.number(),
        );
        let file = install_root.dir.join("nginx.conf");
        files::write(&file, &config)?;
        let launch = Launch::new("nginx", tools::nginx()?)
            .argument("-p")
            .argument(dir)
            .argument("-e")
            .argument("stderr")
            .argument("-c")
            .argument(file.display());
        Self::start(launch, "http", port, install_root).await
    }

    /// Traefik, which reads these objects of a cluster and ends TLS.
    pub async fn traefik(cluster: &ControlPlane, exposure: Exposure) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process("traefik")?;
        let port = port::lease()?;
        let provider = match exposure {
            Exposure::Ingress => "providers.kubernetesingress",
            Exposure::GatewayApi => "providers.kubernetesgateway",
        };
        let launch = Launch::new("traefik", tools::wheel_program(WheelProgram::Traefik)?)
            .flag("global.checknewversion", false)
            .flag("global.sendanonymoususage", false)
            .flag(
                "entrypoints.websecure.address",
                format!("{}:{}", install_root.address, port.number()),
            )
            .flag("entrypoints.websecure.http.tls", true)
            .flag(provider, true)
            .flag(&format!("{provider}.endpoint"), cluster.url())
            .flag(&format!("{provider}.token"), &cluster.admin().token)
            .path_flag(&format!("{provider}.certauthfilepath"), cluster.certificate_authority());
        let launch = match exposure {
            Exposure::Ingress => launch.flag(&format!("{provider}.allowexternalnameservices"), true),
            Exposure::GatewayApi => launch,
        };
        Self::start(launch, "https", port, install_root).await
    }

    async fn start(
        launch: Launch,
        scheme: &'static str,
        port: Port,
        install_root: InstallRoot,
    ) -> anyhow::Result<Self> {
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        service.start()?;
        let address = (install_root.address, port.number());
        service
            .ready(READY_TIMEOUT, async || {
                let connected = tokio::net::TcpStream::connect(address).await;
                connected.map(drop).context("connect to the proxy")
            })
            .await?;
        Ok(Self {
            service,
            scheme,
            port,
            _install_root: install_root,
        })
    }

    /// The URL, by the name `localhost`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.port.number())
    }

    /// The port of its URL.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The file of its log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.service.log().to_path_buf()
    }
}

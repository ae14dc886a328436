//! A server that speaks S3: moto's, which keeps everything in memory and checks no signature.

use std::{net::SocketAddrV4, time::Duration};

use anyhow::Context as _;

use crate::{
    http_client,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service},
    tools::{self, PythonEnvironment},
};

const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// One server. It ends when the value is dropped.
#[derive(Debug)]
pub struct S3Server {
    service: Service,
    port: Port,
    install_root: InstallRoot,
}

impl S3Server {
    /// Starts a server on a free port, with one empty bucket.
    pub async fn start(bucket: &str) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process("s3")?;
        let port = port::lease()?;
        let launch = Launch::new("s3", tools::python_of(PythonEnvironment::S3)?)
            .argument("-m")
            .argument("moto.server")
            .flag("host", install_root.address)
            .flag("port", port.number())
            .in_network(install_root.network.as_deref());
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        let server = Self {
            service,
            port,
            install_root,
        };
        server.service.start()?;
        let url = format!("{}/{bucket}", server.url());
        let makes_bucket = async || {
            let made = http_client::shared()?.put(&url).send().await;
            made.and_then(reqwest::Response::error_for_status)
                .map(drop)
                .context("make a bucket")
        };
        server.service.ready(READY_TIMEOUT, makes_bucket).await?;
        Ok(server)
    }

    /// The value for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!(
            "http://{}",
            SocketAddrV4::new(self.install_root.address, self.port.number())
        )
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.service.tail());
        }
    }
}

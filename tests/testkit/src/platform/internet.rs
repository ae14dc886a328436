//! Internet access for pods, for a real model. slirp4netns translates addresses in
//! user space and changes neither the host's firewall nor its forwarding.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::process::Command;

use super::{data_dir::DataDir, network};
use crate::{
    files,
    process::{Launch, output},
    tools,
};

const LINK: &str = "internet";
const RANGE: &str = "10.202.0.0/24";
/// slirp4netns forwards the DNS queries to this address to the host's resolver.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 202, 0, 3);
/// An address for documentation (RFC 5737): a route to it is a default route.
const OUTSIDE: &str = "192.0.2.1";

/// Which addresses pods can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkAccess {
    /// Only pods, the platform's services and the host's address on the platform.
    #[default]
    Platform,
    /// Every address that the host can reach.
    Internet,
}

impl NetworkAccess {
    /// The access that the platform was last started with.
    pub fn saved(data_dir: &DataDir) -> Self {
        if data_dir.join(LINK).is_file() {
            Self::Internet
        } else {
            Self::Platform
        }
    }

    /// Applies to this start and later ones.
    pub fn save(self, data_dir: &DataDir) -> anyhow::Result<()> {
        let marker = data_dir.join(LINK);
        match self {
            Self::Internet => files::write(&marker, ""),
            Self::Platform if marker.exists() => {
                std::fs::remove_file(&marker).context("remove the marker of internet access")
            }
            Self::Platform => Ok(()),
        }
    }

    /// The DNS server for names outside the cluster.
    pub fn resolver(self) -> Option<Ipv4Addr> {
        match self {
            Self::Platform => None,
            Self::Internet => Some(RESOLVER),
        }
    }
}

/// The program runs in the host's network namespace and adds a link to the platform's.
pub(super) fn launch(data_dir: &DataDir) -> anyhow::Result<Launch> {
    Ok(Launch::new("internet", tools::installed("slirp4netns")?)
        .argument("--configure")
        .argument("--disable-host-loopback")
        .flag("cidr", RANGE)
        .flag("netns-type", "path")
        .argument(network::namespace(data_dir).display())
        .argument(LINK))
}

pub(super) async fn is_ready(data_dir: &DataDir) -> anyhow::Result<()> {
    let mut command = Command::new(tools::installed("nsenter")?);
    command
        .arg(format!("--net={}", network::namespace(data_dir).display()))
        .args(["--", "ip", "route", "get", OUTSIDE]);
    output(&mut command).await.map(drop)
}

//! A way out for pods, for whoever wants the real model: slirp4netns translates
//! in user space, so neither the host's firewall nor its forwarding is touched.
//! Without it traffic stays inside.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::process::Command;

use super::home::Home;
use super::network;
use crate::files;
use crate::process::{Launch, output};
use crate::tools;

const LINK: &str = "internet";
const RANGE: &str = "10.202.0.0/24";
/// Inside that range, the translator passes questions on to the host's resolver.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 202, 0, 3);
/// Documentation addresses: nobody's, but a route to them is a way out.
const OUTSIDE: &str = "192.0.2.1";

/// How far pods get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Pods, the platform's services, and the host's address on the platform.
    #[default]
    Inside,
    /// All that the host reaches.
    Internet,
}

impl Reach {
    /// What the platform was last started with.
    pub fn of(home: &Home) -> Self {
        if home.path(LINK).is_file() {
            Self::Internet
        } else {
            Self::Inside
        }
    }

    /// Makes it so for this and later starts.
    pub fn remember(self, home: &Home) -> anyhow::Result<()> {
        let marker = home.path(LINK);
        match self {
            Self::Internet => files::write(&marker, ""),
            Self::Inside if marker.exists() => std::fs::remove_file(&marker).context("forget the way out"),
            Self::Inside => Ok(()),
        }
    }

    /// Who knows the names outside the cluster.
    pub fn resolver(self) -> Option<Ipv4Addr> {
        match self {
            Self::Inside => None,
            Self::Internet => Some(RESOLVER),
        }
    }
}

/// Runs outside the namespace and reaches in.
pub fn launch(home: &Home) -> anyhow::Result<Launch> {
    Ok(Launch::new("internet", tools::installed("slirp4netns")?)
        .argument("--configure")
        .argument("--disable-host-loopback")
        .flag("cidr", RANGE)
        .flag("netns-type", "path")
        .argument(network::namespace(home).display())
        .argument(LINK))
}

pub async fn is_ready(home: &Home) -> anyhow::Result<()> {
    let mut command = Command::new(tools::installed("nsenter")?);
    command
        .arg(format!("--net={}", network::namespace(home).display()))
        .args(["--", "ip", "route", "get", OUTSIDE]);
    output(&mut command).await.map(drop)
}

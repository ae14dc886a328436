//! A network namespace per platform, joined to the host by one pair of links.
//! Rules, bridges and ports stay inside; the host's own are not touched.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

use super::home::Home;
use crate::files;
use crate::process::output;
use crate::tools;

/// The name of the inner end of the pair.
const INNER_LINK: &str = "uplink";

/// The namespace's file: what `nsenter --net=` takes.
pub fn namespace(home: &Home) -> PathBuf {
    home.path("network")
}

/// The number of the namespace, while its file is one.
pub fn inode(home: &Home) -> Option<u64> {
    let metadata = std::fs::metadata(namespace(home)).ok()?;
    let plain = std::fs::metadata(home.folder()).ok()?;
    // An unmounted file lies on its folder's device.
    (metadata.dev() != plain.dev()).then(|| metadata.ino())
}

/// True when the namespace and its link are as `make` leaves them.
pub fn is_whole(home: &Home) -> bool {
    let marker = std::fs::read_to_string(marker(home)).ok();
    let made = marker.and_then(|text| text.trim().parse::<u64>().ok());
    let link = Path::new("/sys/class/net").join(home.machine_wide_name());
    made.is_some() && made == inode(home) && link.exists()
}

/// Makes the namespace and the pair of links. Nothing of them may be there.
pub async fn make(home: &Home) -> anyhow::Result<()> {
    let namespace = namespace(home);
    files::write(&namespace, "")?;
    let enter = format!("--net={}", namespace.display());
    run("unshare", &[&enter, "true"]).await?;

    let link = home.machine_wide_name();
    let file = namespace.display().to_string();
    let host = format!("{}/24", home.host_address());
    let node = format!("{}/24", home.node_address());
    run(
        "ip",
        &[
            "link", "add", &link, "type", "veth", "peer", "name", INNER_LINK, "netns", &file,
        ],
    )
    .await?;
    run("ip", &["address", "add", &host, "dev", &link]).await?;
    run("ip", &["link", "set", &link, "up"]).await?;
    for inside in [
        ["link", "set", "lo", "up"].as_slice(),
        &["address", "add", &node, "dev", INNER_LINK],
        &["link", "set", INNER_LINK, "up"],
    ] {
        let mut arguments = vec![enter.as_str(), "--", "ip"];
        arguments.extend(inside);
        run("nsenter", &arguments).await?;
    }
    // Pods' packets pass through the node.
    run(
        "nsenter",
        &[&enter, "--", "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"],
    )
    .await?;
    let number = inode(home).context("the new network namespace has no file")?;
    files::write(&marker(home), &number.to_string())
}

/// Removes the pair of links. The namespace goes with its last process and
/// mount, which is too late for whoever looks at the host's links now.
pub async fn remove_link(home: &Home) -> anyhow::Result<()> {
    let link = home.machine_wide_name();
    let is_there = || Path::new("/sys/class/net").join(&link).exists();
    if !is_there() {
        return Ok(());
    }
    match run("ip", &["link", "delete", &link]).await {
        // A namespace that was left without a process or a mount took it along.
        Err(_) if !is_there() => Ok(()),
        removed => removed,
    }
}

fn marker(home: &Home) -> PathBuf {
    home.path("network.made")
}

async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let program = tools::installed(program)?;
    output(Command::new(program).args(arguments))
        .await
        .map(drop)
        .context("set up the network")
}

//! The network namespace of a platform, connected to the host by one veth pair.
//! Rules, bridges and ports exist only inside; the host's own are not changed.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tokio::process::Command;

use super::data_dir::DataDir;
use crate::{files, process::output, tools};

/// The name of the inner end of the veth pair.
const INNER_LINK: &str = "uplink";

/// The file of the namespace, as `nsenter --net=` takes it.
pub(super) fn namespace(data_dir: &DataDir) -> PathBuf {
    data_dir.join("network")
}

/// The inode of the namespace, if it is mounted on its file.
pub(super) fn inode(data_dir: &DataDir) -> Option<u64> {
    let metadata = std::fs::metadata(namespace(data_dir)).ok()?;
    let plain = std::fs::metadata(data_dir.path()).ok()?;
    // An unmounted file is on the device of its directory.
    (metadata.dev() != plain.dev()).then(|| metadata.ino())
}

/// Whether the namespace and its link exist, as `create` leaves them.
pub(super) fn is_complete(data_dir: &DataDir) -> bool {
    let marker = std::fs::read_to_string(marker(data_dir)).ok();
    let made = marker.and_then(|text| text.trim().parse::<u64>().ok());
    let link = Path::new("/sys/class/net").join(data_dir.unique_name());
    made.is_some() && made == inode(data_dir) && link.exists()
}

/// Creates the namespace and the veth pair. Neither may exist.
pub(super) async fn create(data_dir: &DataDir) -> anyhow::Result<()> {
    let namespace = namespace(data_dir);
    files::write(&namespace, "")?;
    let enter = format!("--net={}", namespace.display());
    run("unshare", &[&enter, "true"]).await?;

    let link = data_dir.unique_name();
    let file = namespace.display().to_string();
    let host = format!("{}/24", data_dir.host_address());
    let node = format!("{}/24", data_dir.node_address());
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
    // The node forwards the packets of pods.
    run(
        "nsenter",
        &[&enter, "--", "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"],
    )
    .await?;
    let number = inode(data_dir).context("find the inode of the new network namespace")?;
    files::write(&marker(data_dir), &number.to_string())
}

/// Removes the veth pair. The kernel would remove it with the namespace, but only
/// after the last process and mount of the namespace are gone.
pub(super) async fn remove_link(data_dir: &DataDir) -> anyhow::Result<()> {
    let link = data_dir.unique_name();
    let exists = || Path::new("/sys/class/net").join(&link).exists();
    if !exists() {
        return Ok(());
    }
    match run("ip", &["link", "delete", &link]).await {
        // The kernel has removed the link with its namespace meanwhile.
        Err(_) if !exists() => Ok(()),
        removed => removed,
    }
}

fn marker(data_dir: &DataDir) -> PathBuf {
    data_dir.join("network.made")
}

async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let program = tools::installed(program)?;
    output(Command::new(program).args(arguments))
        .await
        .map(drop)
        .context("set up the network")
}

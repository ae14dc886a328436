//! containerd with a root, state and socket of its own, its pod network, and
//! the import of images.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::process::Command;

use super::home::Home;
use crate::process::{Launch, ProcessId, output};
use crate::{files, images, tools};

/// Addresses of pods; every platform has all of them, in its own namespace.
pub const POD_RANGE: &str = "10.244.0.0/16";
const PAUSE_TAG: &str = "localhost/steadfast/pause:1";
const STATIC_BUSYBOX: &str = "/bin/busybox";

/// Writes the configuration and says what to run.
pub fn prepare(home: &Home) -> anyhow::Result<Launch> {
    let folder = folder(home);
    let network = folder.join("net.d");
    files::write(&network.join("10-steadfast.conflist"), &pod_network(home))?;
    let config = configuration(home, &network);
    let path = folder.join("config.toml");
    files::write(&path, &config)?;
    Ok(Launch::new("containerd", tools::installed("containerd")?)
        .path_flag("config", path)
        .input(config))
}

pub fn socket(home: &Home) -> PathBuf {
    folder(home).join("containerd.sock")
}

pub async fn is_ready(home: &Home) -> anyhow::Result<()> {
    UnixStream::connect(socket(home))
        .await
        .map(drop)
        .context("connect to containerd")
}

/// Makes the image that holds each pod's namespaces, from one static program.
pub async fn load_pause_image(home: &Home) -> anyhow::Result<()> {
    let context = home.path("pause");
    files::make_folder(&context)?;
    std::fs::copy(STATIC_BUSYBOX, context.join("busybox")).context("copy busybox (Debian package busybox-static)")?;
    let dockerfile = "FROM scratch\nCOPY busybox /busybox\nUSER 65535:65535\n\
                      ENTRYPOINT [\"/busybox\", \"tail\", \"-f\", \"/dev/null\"]\n";
    files::write(&context.join("Dockerfile"), dockerfile)?;
    let archive = images::build(&context, PAUSE_TAG).await?;
    load_image(home, &archive).await
}

/// Imports an archive, unless it was imported before: archives are named by
/// their content.
pub async fn load_image(home: &Home, archive: &Path) -> anyhow::Result<()> {
    let metadata =
        std::fs::metadata(archive).with_context(|| format!("read the image archive {}", archive.display()))?;
    let marker = folder(home).join("imported").join(file_name(archive));
    let stamp = metadata.len().to_string();
    if std::fs::read_to_string(&marker).is_ok_and(|present| present == stamp) {
        return Ok(());
    }
    let mut command = ctr(home)?;
    command.args(["images", "import"]).arg(archive);
    output(&mut command)
        .await
        .with_context(|| format!("import {}", archive.display()))?;
    files::write(&marker, &stamp)
}

/// The main process of a container that runs.
pub async fn container_process(home: &Home, container: &str) -> anyhow::Result<ProcessId> {
    let mut command = ctr(home)?;
    let tasks = output(command.args(["tasks", "list"])).await?;
    // TASK PID STATUS
    let line = tasks.lines().find(|line| line.starts_with(container));
    let id = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    ProcessId::of(id.with_context(|| format!("container {container} does not run"))?)
}

/// What containerd, its shims, the network plugins and the kubelet leave
/// outside the platform's folder.
pub fn stray_files(home: &Home) -> Vec<PathBuf> {
    let tasks = entries(&folder(home).join("state/io.containerd.runtime.v2.task/k8s.io"));
    let sockets = tasks
        .iter()
        .filter_map(|task| std::fs::read_to_string(task.join("address")).ok());
    let mut strays: Vec<PathBuf> = sockets
        .filter_map(|address| Some(address.trim().strip_prefix("unix://")?.into()))
        .collect();

    // `<network>-<sandbox>-<interface>`
    let sandboxes: Vec<String> = tasks.iter().map(|task| file_name(task)).collect();
    let network = format!("{}-", network_name(home));
    strays.extend(entries(Path::new("/var/lib/cni/results")).into_iter().filter(|path| {
        let name = file_name(path);
        name.starts_with(&network) || sandboxes.iter().any(|sandbox| name.contains(sandbox))
    }));

    strays.extend(
        entries(Path::new("/var/log/containers"))
            .into_iter()
            .filter(|path| std::fs::read_link(path).is_ok_and(|target| target.starts_with(home.folder()))),
    );
    strays
}

fn ctr(home: &Home) -> anyhow::Result<Command> {
    let mut command = Command::new(tools::installed("ctr")?);
    command
        .arg("--address")
        .arg(socket(home))
        .args(["--namespace", "k8s.io"]);
    Ok(command)
}

fn folder(home: &Home) -> PathBuf {
    home.path("containerd")
}

fn network_name(home: &Home) -> String {
    home.machine_wide_name()
}

/// `restrict_oom_score_adj`: without the right to lower that score, which
/// containers of a development machine lack, no sandbox would start.
fn configuration(home: &Home, network: &Path) -> String {
    let folder = folder(home).display().to_string();
    let socket = socket(home).display().to_string();
    let network = network.display();
    format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
oom_score = 0
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_TAG}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{network}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "{folder}/runc"
"#
    )
}

/// `hairpinMode` lets a pod reach itself through its Service.
fn pod_network(home: &Home) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": network_name(home),
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isDefaultGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_RANGE}]],
                    "dataDir": folder(home).join("addresses"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
    .to_string()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

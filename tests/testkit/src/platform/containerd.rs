//! containerd with its own root, state and socket; the pod network; the import of
//! images.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use tokio::{net::UnixStream, process::Command};

use super::data_dir::DataDir;
use crate::{
    files, images,
    process::{Launch, ProcessId, output},
    tools,
};

/// The addresses of pods. Platforms share the range, each in its own network namespace.
pub(super) const POD_RANGE: &str = "10.244.0.0/16";
const PAUSE_TAG: &str = "localhost/steadfast/pause:1";
const STATIC_BUSYBOX: &str = "/bin/busybox";

/// Writes the configuration and returns the program to run.
pub(super) fn configure(data_dir: &DataDir) -> anyhow::Result<Launch> {
    let dir = dir(data_dir);
    let network = dir.join("net.d");
    files::write(&network.join("10-steadfast.conflist"), &pod_network(data_dir))?;
    let config = configuration(data_dir, &network);
    let path = dir.join("config.toml");
    files::write(&path, &config)?;
    Ok(Launch::new("containerd", tools::installed("containerd")?)
        .path_flag("config", path)
        .input(config))
}

pub(super) fn socket(data_dir: &DataDir) -> PathBuf {
    dir(data_dir).join("containerd.sock")
}

pub(super) async fn is_ready(data_dir: &DataDir) -> anyhow::Result<()> {
    UnixStream::connect(socket(data_dir))
        .await
        .map(drop)
        .context("connect to containerd")
}

/// Builds and imports the pause image, which holds each pod's namespaces.
pub(super) async fn load_pause_image(data_dir: &DataDir) -> anyhow::Result<()> {
    let context = data_dir.join("pause");
    files::create_dir(&context)?;
    std::fs::copy(STATIC_BUSYBOX, context.join("busybox")).context("copy busybox (Debian package busybox-static)")?;
    let dockerfile = "FROM scratch\nCOPY busybox /busybox\nUSER 65535:65535\n\
                      ENTRYPOINT [\"/busybox\", \"tail\", \"-f\", \"/dev/null\"]\n";
    files::write(&context.join("Dockerfile"), dockerfile)?;
    let archive = images::build(&context, PAUSE_TAG).await?;
    load_image(data_dir, &archive).await
}

/// Imports an archive unless it was imported before. Archives are named by their
/// content.
pub(super) async fn load_image(data_dir: &DataDir, archive: &Path) -> anyhow::Result<()> {
    let metadata =
        std::fs::metadata(archive).with_context(|| format!("read the image archive {}", archive.display()))?;
    let marker = dir(data_dir).join("imported").join(file_name(archive));
    let stamp = metadata.len().to_string();
    if std::fs::read_to_string(&marker).is_ok_and(|present| present == stamp) {
        return Ok(());
    }
    let mut command = ctr(data_dir)?;
    command.args(["images", "import"]).arg(archive);
    output(&mut command)
        .await
        .with_context(|| format!("import {}", archive.display()))?;
    files::write(&marker, &stamp)
}

/// The main process of a running container.
pub(super) async fn container_process(data_dir: &DataDir, container: &str) -> anyhow::Result<ProcessId> {
    let mut command = ctr(data_dir)?;
    let tasks = output(command.args(["tasks", "list"])).await?;
    // TASK PID STATUS
    let line = tasks.lines().find(|line| line.starts_with(container));
    let id = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    ProcessId::of(id.with_context(|| format!("container {container} does not run"))?)
}

/// The files of containerd, its shims, the network plugins and the kubelet
/// outside the platform's data directory.
pub(super) fn outside_files(data_dir: &DataDir) -> Vec<PathBuf> {
    let tasks = entries(&dir(data_dir).join("state/io.containerd.runtime.v2.task/k8s.io"));
    let sockets = tasks
        .iter()
        .filter_map(|task| std::fs::read_to_string(task.join("address")).ok());
    let mut files: Vec<PathBuf> = sockets
        .filter_map(|address| Some(address.trim().strip_prefix("unix://")?.into()))
        .collect();

    // `<network>-<sandbox>-<interface>`
    let sandboxes: Vec<String> = tasks.iter().map(|task| file_name(task)).collect();
    let network = format!("{}-", network_name(data_dir));
    files.extend(entries(Path::new("/var/lib/cni/results")).into_iter().filter(|path| {
        let name = file_name(path);
        name.starts_with(&network) || sandboxes.iter().any(|sandbox| name.contains(sandbox))
    }));

    files.extend(
        entries(Path::new("/var/log/containers"))
            .into_iter()
            .filter(|path| std::fs::read_link(path).is_ok_and(|target| target.starts_with(data_dir.path()))),
    );
    files
}

fn ctr(data_dir: &DataDir) -> anyhow::Result<Command> {
    let mut command = Command::new(tools::installed("ctr")?);
    command
        .arg("--address")
        .arg(socket(data_dir))
        .args(["--namespace", "k8s.io"]);
    Ok(command)
}

fn dir(data_dir: &DataDir) -> PathBuf {
    data_dir.join("containerd")
}

fn network_name(data_dir: &DataDir) -> String {
    data_dir.unique_name()
}

/// `restrict_oom_score_adj`: containerd keeps its own score where it may not lower
/// it, as inside the containers of many development machines.
fn configuration(data_dir: &DataDir, network: &Path) -> String {
    let dir = dir(data_dir).display().to_string();
    let socket = socket(data_dir).display().to_string();
    let network = network.display();
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
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
Root = "{dir}/runc"
"#
    )
}

/// `hairpinMode`: a pod can reach itself through its Service.
fn pod_network(data_dir: &DataDir) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": network_name(data_dir),
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
                    "dataDir": dir(data_dir).join("addresses"),
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

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

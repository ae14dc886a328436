//! The platform: it runs pods, repairs itself, and leaves nothing behind.
//! Needs root and all tools (`cargo xtask tools`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use steadfast_e2e::scenario::services;
use steadfast_testkit::{FakeModelOptions, NetworkAccess, Platform, images, process::ProcessId, wait};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/web.yaml");
const WAIT: &str = "--timeout=90s";

/// The resources of the machine that platforms create, by kind: processes, mounts,
/// links, network namespaces and control groups.
#[derive(Debug, Default, PartialEq, Eq)]
struct HostResources([BTreeSet<String>; 5]);

impl HostResources {
    fn now() -> Self {
        let print = |command: &str| {
            let output = Command::new("sh").args(["-c", command]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().map(|line| line.trim().to_owned()).collect::<BTreeSet<_>>()
        };
        Self([
            print("ps -e --no-headers -o netns,pid,args"),
            print("cut -d' ' -f5 /proc/self/mountinfo"),
            print("ls /sys/class/net"),
            print("lsns --type net --noheadings --output NS"),
            print("find /sys/fs/cgroup -type d"),
        ])
    }

    /// Only those of this platform, as others may start and end meanwhile.
    fn of(self, platform: &Platform) -> Self {
        let kubeconfig = platform.control_plane().kubeconfig();
        let dir = kubeconfig.parent().and_then(Path::parent).unwrap();
        let link = format!("steadfast{}", platform.node_address().octets()[2]);
        let [mut processes, mut mounts, mut links, mut namespaces, mut groups] = self.0;
        mounts.retain(|mount| Path::new(mount).starts_with(dir));
        links.retain(|found| *found == link);
        groups.retain(|group| Path::new(group).iter().any(|part| *part == *link));
        let own: BTreeSet<String> = mounts
            .iter()
            .filter_map(|mount| Some(std::fs::metadata(mount).ok()?.ino().to_string()))
            .collect();
        namespaces.retain(|namespace| own.contains(namespace));
        processes.retain(|process| {
            process
                .split_whitespace()
                .next()
                .is_some_and(|namespace| own.contains(namespace))
        });
        Self([processes, mounts, links, namespaces, groups])
    }

    /// The resources in both.
    fn intersection(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|kind| &self.0[kind] & &other.0[kind]))
    }
}

fn busybox_image_dir() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("busybox");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::copy("/bin/busybox", dir.join("busybox")).unwrap();
    std::fs::write(
        dir.join("Dockerfile"),
        "FROM scratch\nCOPY busybox /bin/busybox\nUSER 65532:65532\nENTRYPOINT [\"/bin/busybox\"]\n",
    )
    .unwrap();
    dir
}

async fn web_answer(platform: &Platform, url: &str) -> anyhow::Result<String> {
    platform
        .kubectl(&["exec", "deployment/web", "--", "busybox", "wget", "-q", "-O", "-", url])
        .await
}

#[tokio::test]
async fn a_platform_runs_pods_repairs_itself_and_leaves_nothing_behind() {
    const NAME: &str = "e2e-platform";
    Platform::down(NAME).await.unwrap();

    let platform = Platform::up(NAME).await.unwrap();
    let archive = images::build(&busybox_image_dir(), "localhost/steadfast/busybox:e2e")
        .await
        .unwrap();
    platform.load_image(&archive).await.unwrap();
    platform.kubectl(&["apply", "-f", MANIFEST]).await.unwrap();
    platform
        .kubectl(&["wait", "--for=condition=Available", "deployment/web", WAIT])
        .await
        .unwrap();

    let created = HostResources::now().of(&platform);
    assert!(
        created.0.iter().all(|kind| !kind.is_empty()),
        "a running platform has resources of each kind: {created:#?}"
    );

    pods_reach_services_by_name_and_the_host(&platform).await;
    pods_reach_the_fake_model(&platform).await;
    a_killed_container_is_back_within_seconds(&platform).await;
    services::redis_keeps_acknowledged_writes(platform.redis()).await;
    services::redis_restarts_empty(platform.redis()).await;
    services::temporal_keeps_its_workflows(platform.temporal()).await;
    up_repairs_what_died(&platform, NAME).await;
    pods_reach_the_internet_only_with_access(&platform, NAME).await;
    up_cleans_up_after_a_crash(&platform, NAME).await;

    Platform::down(NAME).await.unwrap();
    assert_eq!(HostResources::now().intersection(&created), HostResources::default());
    assert!(Platform::find(NAME).await.is_err());
}

async fn pods_reach_services_by_name_and_the_host(platform: &Platform) {
    let by_name = wait::until("the Service to answer", Duration::from_secs(20), || {
        web_answer(platform, "http://web.default.svc.cluster.local")
    });
    assert_eq!(by_name.await.unwrap(), "hello\n");

    let listener = tokio::net::TcpListener::bind((platform.host_address(), 0))
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (reached, _) = tokio::join!(listener.accept(), async {
        tokio::time::timeout(Duration::from_secs(5), web_answer(platform, &url)).await
    });
    // The node translates the addresses of pods to its own.
    assert_eq!(reached.unwrap().1.ip(), platform.node_address());
}

async fn pods_reach_the_fake_model(platform: &Platform) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/greeting.json");
    let model = platform.fake_model(FakeModelOptions::new(fixtures)).await.unwrap();
    let health = web_answer(platform, &format!("{}/__aimock/health", model.url()))
        .await
        .unwrap();
    assert_eq!(health, r#"{"status":"ok"}"#);
    services::fake_model_answers_and_keeps_a_journal(&model).await;
}

async fn a_killed_container_is_back_within_seconds(platform: &Platform) {
    let pod = platform
        .kubectl(&["get", "pod", "-l", "app=web", "-o", "name"])
        .await
        .unwrap();
    let pod = pod.trim().trim_start_matches("pod/").to_owned();
    let mut killed = Vec::new();
    // A back-off would delay the second restart.
    for _ in 0..2 {
        let process: ProcessId = wait::until("the container to run", Duration::from_secs(15), async || {
            let process = platform.container_process("default", &pod, "web").await?;
            anyhow::ensure!(!killed.contains(&process), "the old one is still listed");
            Ok(process)
        })
        .await
        .unwrap();
        process.kill().await.unwrap();
        killed.push(process);
    }
    platform
        .kubectl(&[
            "wait",
            "--for=jsonpath={.status.containerStatuses[0].restartCount}=2",
            "pod",
            &pod,
            WAIT,
        ])
        .await
        .unwrap();
    platform
        .kubectl(&["wait", "--for=condition=Ready", "pod", &pod, WAIT])
        .await
        .unwrap();
}

async fn up_repairs_what_died(platform: &Platform, name: &str) {
    for service in platform.services() {
        service.kill().await.unwrap();
    }
    let repaired = Platform::up(name).await.unwrap();
    let alive: Vec<_> = repaired.services().iter().map(|service| service.is_alive()).collect();
    assert_eq!(alive, vec![true; 10]);
    // Pods outlive their kubelet and containerd.
    let answer = wait::until("the kubelet to know its pods", Duration::from_secs(20), || {
        web_answer(&repaired, "http://127.0.0.1:8080")
    });
    assert_eq!(answer.await.unwrap(), "hello\n");
}

async fn pods_reach_the_internet_only_with_access(platform: &Platform, name: &str) {
    // This machine's outgoing address. Connecting a UDP socket sends no packet.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    let listener = tokio::net::TcpListener::bind((socket.local_addr().unwrap().ip(), 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let connect = ["exec", "deployment/web", "--", "busybox", "nc", "-w", "3"];
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let connect = [connect.as_slice(), &[&host, &port]].concat();

    platform.kubectl(&connect).await.unwrap_err();
    Platform::up_with_network_access(name, NetworkAccess::Internet)
        .await
        .unwrap();
    // `nc` ends when the connection is closed.
    let accepted = async { listener.accept().await.map(drop) };
    let (accepted, _) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(10), accepted),
        platform.kubectl(&connect)
    );
    accepted.expect("the pod connects").unwrap();
    Platform::up_with_network_access(name, NetworkAccess::Platform)
        .await
        .unwrap();
    platform.kubectl(&connect).await.unwrap_err();
}

async fn up_cleans_up_after_a_crash(platform: &Platform, name: &str) {
    // The state after a start that ended before the network was complete.
    let kubeconfig = platform.control_plane().kubeconfig();
    let dir = kubeconfig.parent().and_then(Path::parent).unwrap();
    std::fs::remove_file(dir.join("network.made")).unwrap();
    let fresh = Platform::up(name).await.unwrap();
    let pods = fresh
        .kubectl(&["get", "pods", "--all-namespaces", "-o", "name"])
        .await
        .unwrap();
    assert_eq!(pods, "");
}

//! What a viewer costs: the memory that the gateway holds for an open stream, with all of its connection.

use std::net::SocketAddr;

use allocation_counter::measure;
use steadfast_events::testing::{text_delta, text_started};
use steadfast_gateway::Server;
use steadfast_testkit::Redis;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::support::{TIMEOUT, with_redis};

const VIEWERS: usize = 50;
/// Hyper has one of 8 KiB for what it reads, and one for what it writes.
const BUFFERS: i64 = 2 * 8 * 1024;
/// All that is left: the connection, the response, the stream, and what the stream waits for.
const REST: i64 = 9 * 1024;

/// The connection of a viewer.
struct Viewer(TcpStream);

impl Viewer {
    async fn come(address: SocketAddr, path: &str) -> Self {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        Self(connection)
    }

    /// Reads until a piece has this text.
    async fn until(&mut self, text: &str) {
        let mut piece = [0; 4096];
        loop {
            let read = timeout(TIMEOUT, self.0.read(&mut piece));
            let length = read.await.expect("a piece in time").unwrap();
            assert!(length > 0, "the stream has ended before {text:?}");
            if String::from_utf8_lossy(&piece[..length]).contains(text) {
                return;
            }
        }
    }
}

#[test]
fn a_viewer_holds_the_buffers_of_its_connection_and_little_else() {
    // One thread, as the allocations of one are counted.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for format in ["agentex", "events"] {
        let (redis, gateway, task, address) = runtime.block_on(async {
            let redis = Redis::start().await.unwrap();
            let gateway = with_redis(&redis).await;
            let task = gateway.create_task().await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = Server::new(gateway.router.clone());
            tokio::spawn(server.serve(listener, CancellationToken::new()));
            (redis, gateway, task, address)
        });
        let path = format!("/tasks/{task}/stream?format={format}");
        let mut viewers = Vec::with_capacity(VIEWERS);
        let come = async || {
            let mut viewer = Viewer::come(address, &path).await;
            viewer.until("connected").await;
            viewer
        };
        // The first one has what all share.
        runtime.block_on(async {
            viewers.push(come().await);
            gateway
                .append(&task, 1, [text_started("a"), text_delta("a", "Autumn")])
                .await;
            viewers[0].until("Autumn").await;
        });
        let held = measure(|| {
            runtime.block_on(async {
                for _ in 1..VIEWERS {
                    viewers.push(come().await);
                }
                gateway.append(&task, 3, [text_delta("a", "moon")]).await;
                for viewer in &mut viewers {
                    viewer.until("moon").await;
                }
            });
        });
        let of_each = held.bytes_current / i64::try_from(VIEWERS - 1).unwrap();
        assert!(of_each > BUFFERS / 2, "{format}: {of_each} bytes: not all was counted");
        assert!(of_each <= BUFFERS + REST, "{format}: a viewer holds {of_each} bytes");
        drop(redis);
    }
}

/// The connections to Redis, and those of them that wait for entries.
async fn connections(redis: &Redis) -> (usize, usize) {
    let listed = redis.command("CLIENT LIST").await.unwrap();
    let reading = listed.lines().filter(|client| client.contains("cmd=xread")).count();
    (listed.lines().count(), reading)
}

#[tokio::test]
async fn all_viewers_of_all_tasks_share_one_connection_that_reads() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let mut viewers = Vec::new();
    let mut alone = None;
    for _ in 0..5 {
        let task = gateway.create_task().await;
        for _ in 0..4 {
            let mut viewer = gateway.stream(&format!("/tasks/{task}/stream"), None).await;
            assert_eq!(viewer.outline(1).await[0].0, "connected");
            viewers.push((viewer, task.clone()));
            let now = connections(&redis).await;
            assert!(now.1 <= 1, "{now:?}");
            assert_eq!(*alone.get_or_insert(now.0), now.0);
        }
    }
    for (viewer, task) in &mut viewers {
        gateway.append(task, 1, [text_started("a")]).await;
        assert_eq!(viewer.outline(1).await[0].0, "start");
    }
}

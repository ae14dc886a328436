//! etcd, the API server's store. Only the API server connects to it, on the
//! loopback address. It never syncs to disk: its data is not worth it.

use std::path::Path;

use crate::process::Launch;

const LOOPBACK: &str = "127.0.0.1";

pub(crate) fn launch(program: &Path, data: &Path, client_port: u16, peer_port: u16) -> Launch {
    let peer_url = format!("http://{LOOPBACK}:{peer_port}");
    Launch::new("etcd", program)
        .path_flag("data-dir", data)
        .argument("--unsafe-no-fsync")
        .flag("listen-client-urls", client_url(client_port))
        .flag("advertise-client-urls", client_url(client_port))
        .flag("listen-peer-urls", &peer_url)
        .flag("initial-advertise-peer-urls", &peer_url)
        .flag("initial-cluster", format_args!("default={peer_url}"))
        .flag("log-level", "warn")
}

pub(crate) fn client_url(port: u16) -> String {
    format!("http://{LOOPBACK}:{port}")
}

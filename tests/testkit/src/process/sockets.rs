//! The TCP connections of a process, from `/proc`.

use anyhow::Context as _;

use super::identity::ProcessId;

/// The state of an open connection in `/proc/<id>/net/tcp`.
const ESTABLISHED: &str = "01";

impl ProcessId {
    /// Whether the process has an open IPv4 connection to this remote port. Reads
    /// the connections of the process's own network namespace.
    pub fn is_connected_to(self, port: u16) -> anyhow::Result<bool> {
        let table = format!("/proc/{}/net/tcp", self.id());
        let table = std::fs::read_to_string(&table).with_context(|| format!("read {table}"))?;
        let sockets = self.socket_inodes()?;
        Ok(connections_to(&table, port).any(|inode| sockets.iter().any(|socket| socket == inode)))
    }

    fn socket_inodes(self) -> anyhow::Result<Vec<String>> {
        let dir = format!("/proc/{}/fd", self.id());
        let entries = std::fs::read_dir(&dir).with_context(|| format!("list {dir}"))?;
        let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        Ok(links
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect())
    }
}

/// The inodes of the open connections to a remote port.
fn connections_to(table: &str, port: u16) -> impl Iterator<Item = &str> {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split_whitespace().skip(2);
        let (remote, state, inode) = (fields.next()?, fields.next()?, fields.nth(5)?);
        (remote.ends_with(&suffix) && state == ESTABLISHED).then_some(inode)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_connections_to_the_port_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0\n   \
                     1: 0100007F:C350 0100007F:4E20 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0\n   \
                     2: 0100007F:C351 0100007F:4E20 06 00000000:00000000 00:00000000 00000000     0        0 13 1 0\n   \
                     3: 0100007F:C352 0100007F:4E21 01 00000000:00000000 00:00000000 00000000     0        0 14 1 0\n";
        assert_eq!(connections_to(table, 20_000).collect::<Vec<_>>(), ["12"]);
    }
}

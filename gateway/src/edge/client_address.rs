//! The address of a client behind proxies. Anybody can write `X-Forwarded-For`, so only what trusted proxies have added
//! to it counts: from the right, the first address that is not one of theirs.
//! Source: <https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For>

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderName},
};
use ipnet::IpNet;

use crate::access::FromTrustedProxy;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Addresses that are looked at; nobody has so many proxies.
const MAX_HOPS: usize = 16;

/// The request with the address of its client in place of that of the nearest proxy, which is marked as one.
pub(super) fn resolve(mut request: Request, trusted: &[IpNet]) -> Request {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let Some(ConnectInfo(peer)) = peer.copied() {
        if is_trusted(peer.ip(), trusted) {
            request.extensions_mut().insert(FromTrustedProxy);
        }
        let client = client(peer.ip(), request.headers(), trusted);
        if client != peer.ip() {
            request
                .extensions_mut()
                .insert(ConnectInfo(SocketAddr::new(client, peer.port())));
        }
    }
    request
}

fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer;
    if !is_trusted(client, trusted) {
        return client;
    }
    // A proxy may add a header of its own instead of an address to the last one.
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.rsplit(','));
    for hop in hops.take(MAX_HOPS) {
        // What cannot be read was not written by a proxy that is trusted to write addresses.
        let Some(address) = read(hop.trim()) else {
            break;
        };
        client = address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address.to_canonical()))
}

/// An address, with a port or without.
fn read(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        let with_port = text.parse::<SocketAddr>().ok();
        with_port.map(|address| address.ip())
    });
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_say_who_a_client_is() {
        let pods = &["10.0.0.0/8"];
        for (peer, forwarded, trusted, client) in [
            // Nobody is trusted by default.
            ("10.0.0.1", &["192.0.2.1"][..], &[][..], "10.0.0.1"),
            ("198.51.100.1", &["192.0.2.1"], pods, "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.1"], pods, "192.0.2.1"),
            ("10.0.0.1", &[], pods, "10.0.0.1"),
            // What a client has written itself stands to the left of what the proxy adds.
            ("10.0.0.1", &["203.0.113.9, 192.0.2.1"], pods, "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.9", "192.0.2.1, 10.0.0.2"], pods, "192.0.2.1"),
            ("10.0.0.1", &["unknown, 10.0.0.2"], pods, "10.0.0.2"),
            ("10.0.0.1", &["[2001:db8::1]:443"], pods, "2001:db8::1"),
            ("10.0.0.1", &["192.0.2.1:1234"], pods, "192.0.2.1"),
            ("::ffff:10.0.0.1", &["192.0.2.1"], pods, "192.0.2.1"),
        ] {
            assert_eq!(client_of(peer, forwarded, trusted), client, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_long_list_is_not_read_to_its_end() {
        let list = vec!["10.0.0.2"; 1000].join(",");
        assert_eq!(
            client_of("10.0.0.1", &[&format!("192.0.2.1,{list}")], &["10.0.0.0/8"]),
            "10.0.0.2"
        );
    }
}

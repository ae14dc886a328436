//! Which addresses a tool, a webhook or an MCP server may be connected to. The
//! rule is asked with the addresses that a name stands for at the moment of the
//! connection, so that a name which changes its mind gains nothing. Where the
//! process sends its requests through a proxy, the proxy resolves the names and
//! has to keep the rule; addresses written into a URL are checked here all the same.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Names under which clouds offer a machine's own credentials.
const METADATA_NAMES: [&str; 5] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "instance-data.ec2.internal",
];
/// Addresses of the same that are not link-local: Alibaba, Azure, AWS and Google.
const METADATA_ADDRESSES: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
];
/// Names that only a cluster's own DNS knows.
const CLUSTER_SUFFIXES: [&str; 2] = [".svc", ".cluster.local"];

/// What may be reached beside the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Services of the cluster and private networks.
    pub cluster_services: bool,
    /// This machine itself: for tests and local use, never in a cluster.
    pub loopback: bool,
}

impl Default for AddressPolicy {
    fn default() -> Self {
        Self {
            cluster_services: true,
            loopback: false,
        }
    }
}

/// A connection that is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{target} must not be connected to: {reason}")]
pub struct AddressRefused {
    target: String,
    reason: &'static str,
}

impl AddressPolicy {
    /// A client that connects to nothing else. It follows no redirects: where to would be the server's choice.
    pub fn client(self) -> Result<reqwest::Client, reqwest::Error> {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("steadfast/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(self)
            .build()
    }

    /// What a URL says by itself. An address in it never meets the client's resolver, so it is checked here.
    pub fn check_url(self, url: &Url) -> Result<(), AddressRefused> {
        match url.host() {
            Some(Host::Domain(name)) => self.check_name(name),
            Some(Host::Ipv4(address)) => self.check_address(IpAddr::V4(address), None),
            Some(Host::Ipv6(address)) => self.check_address(IpAddr::V6(address), None),
            None => Ok(()),
        }
    }

    fn check_name(self, name: &str) -> Result<(), AddressRefused> {
        let plain = name.trim_end_matches('.').to_ascii_lowercase();
        let reason = if METADATA_NAMES.contains(&plain.as_str()) {
            Some(METADATA)
        } else if !self.cluster_services && CLUSTER_SUFFIXES.iter().any(|suffix| plain.ends_with(suffix)) {
            Some(IN_CLUSTER)
        } else {
            None
        };
        match reason {
            Some(reason) => Err(AddressRefused {
                target: name.to_owned(),
                reason,
            }),
            None => Ok(()),
        }
    }

    fn check_address(self, address: IpAddr, name: Option<&str>) -> Result<(), AddressRefused> {
        let Some(reason) = self.objection(carried(address)) else {
            return Ok(());
        };
        let target = match name {
            Some(name) => format!("{address} (the address of {name})"),
            None => address.to_string(),
        };
        Err(AddressRefused { target, reason })
    }

    fn objection(self, address: IpAddr) -> Option<&'static str> {
        if METADATA_ADDRESSES.contains(&address) {
            return Some(METADATA);
        }
        if address.is_loopback() {
            return (!self.loopback).then_some("it is this machine itself");
        }
        let (never, private) = match address {
            IpAddr::V4(address) => (never_v4(address), is_private_v4(address)),
            IpAddr::V6(address) => (never_v6(address), address.is_unique_local()),
        };
        never.or_else(|| (private && !self.cluster_services).then_some(IN_CLUSTER))
    }
}

const METADATA: &str = "it is the metadata service of the machine";
const LINK_LOCAL: &str = "it is link-local, where machines keep their metadata services";
const NOWHERE: &str = "it is not the address of a single server";
const IN_CLUSTER: &str =
    "it is inside the cluster or a private network, which this installation does not allow for tools";

fn never_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_link_local() {
        return Some(LINK_LOCAL);
    }
    let nowhere = address.octets()[0] == 0 || address.is_multicast() || address.octets()[0] >= 240;
    nowhere.then_some(NOWHERE)
}

fn never_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unicast_link_local() {
        return Some(LINK_LOCAL);
    }
    (address.is_unspecified() || address.is_multicast()).then_some(NOWHERE)
}

/// RFC 1918, and the shared space that some clusters use for pods.
fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private() || (first == 100 && (64..128).contains(&second))
}

/// The IPv4 address that an IPv6 address stands for where it leads to one: mapped (`::ffff:a.b.c.d`),
/// compatible (`::a.b.c.d`), NAT64 (`64:ff9b::a.b.c.d`) and 6to4 (`2002:ab:cd::`).
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if v6.is_loopback() || v6.is_unspecified() {
        return address;
    }
    let ([0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..]) =
        v6.segments()
    else {
        return address;
    };
    IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

impl Resolve for AddressPolicy {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = *self;
        Box::pin(async move {
            let name = name.as_str();
            policy.check_name(name)?;
            let mut allowed: Vec<SocketAddr> = Vec::new();
            let mut refused = None;
            for address in tokio::net::lookup_host((name, 0)).await? {
                match policy.check_address(address.ip(), Some(name)) {
                    Ok(()) => allowed.push(address),
                    Err(error) => refused = Some(error),
                }
            }
            match refused {
                Some(error) if allowed.is_empty() => Err(error.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// The refusal among the causes of an error, if that is why a request failed.
pub fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a AddressRefused> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

/// An error with its causes, which reqwest keeps to itself.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const OPEN: AddressPolicy = AddressPolicy {
        cluster_services: true,
        loopback: false,
    };
    const PUBLIC_ONLY: AddressPolicy = AddressPolicy {
        cluster_services: false,
        loopback: false,
    };

    fn allows(policy: AddressPolicy, url: &str) -> bool {
        policy.check_url(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn metadata_and_this_machine_are_refused_however_they_are_spelled() {
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://2852039166/",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://0251.0376.0251.0376/",
            "http://169.254.43518/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://metadata.google.internal/",
            "http://METADATA.google.internal./",
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
            "http://0/",
            "http://[::]/",
            "http://224.0.0.1/",
            "http://[ff02::1]/",
            "http://255.255.255.255/",
        ] {
            assert!(!allows(OPEN, url), "{url}");
        }
    }

    #[test]
    fn the_cluster_is_reached_only_where_it_is_allowed() {
        for url in [
            "http://ledger.bank.svc/",
            "http://ledger.bank.svc.cluster.local:8080/",
            "http://10.96.0.1/",
            "http://172.16.0.1/",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://[fd12::1]/",
            "http://[::ffff:10.0.0.1]/",
        ] {
            assert!(allows(OPEN, url), "{url}");
            assert!(!allows(PUBLIC_ONLY, url), "{url}");
        }
        for url in [
            "https://api.openai.com/",
            "http://93.184.216.34/",
            "http://[2606:4700::1]/",
        ] {
            assert!(allows(PUBLIC_ONLY, url), "{url}");
        }
    }

    #[test]
    fn loopback_opens_for_local_use_and_nothing_else_does() {
        let local = AddressPolicy { loopback: true, ..OPEN };
        assert!(allows(local, "http://127.0.0.1:8080/"));
        assert!(allows(local, "http://[::1]/"));
        assert!(!allows(local, "http://169.254.169.254/"));
        assert!(!allows(local, "http://0.0.0.0/"));
    }

    #[tokio::test]
    async fn a_name_is_judged_by_the_addresses_it_stands_for() {
        steadfast_process::crypto::install();
        let error = OPEN
            .client()
            .unwrap()
            .get("http://localhost:1/")
            .send()
            .await
            .unwrap_err();
        let refused = refusal(&error).unwrap().to_string();
        assert!(
            refused.contains("(the address of localhost) must not be connected to"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn an_allowed_name_is_connected_to() {
        steadfast_process::crypto::install();
        let local = AddressPolicy { loopback: true, ..OPEN };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let request = tokio::spawn(local.client().unwrap().get(url).send());
        listener.accept().await.unwrap();
        request.abort();
    }
}

//! The addresses that tools, webhooks and MCP servers may use. The policy checks
//! the addresses that a name resolves to when the connection is made, so that a
//! DNS record that changes afterwards cannot bypass it. If the process uses an
//! HTTP proxy, the proxy resolves the names and must enforce the policy itself;
//! the policy still checks addresses that are part of a URL.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use steadfast_process::error_chain::causes;
use url::{Host, Url};

/// Limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Names of the metadata services of clouds, which hand out the machine's credentials.
const METADATA_NAMES: [&str; 5] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "instance-data.ec2.internal",
];
/// Addresses of metadata services that are not link-local: Alibaba, Azure, AWS and Google.
const METADATA_ADDRESSES: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
];
/// Suffixes of names that only the DNS of a cluster resolves.
const CLUSTER_SUFFIXES: [&str; 2] = [".svc", ".cluster.local"];

/// The addresses that are allowed besides the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Services of the cluster and private networks.
    pub cluster_services: bool,
    /// Loopback addresses: for tests and local use, never in a cluster.
    pub loopback: bool,
}

impl Default for EgressPolicy {
    fn default() -> Self {
        Self {
            cluster_services: true,
            loopback: false,
        }
    }
}

/// A connection that the policy denies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the egress policy denies {target}: {reason}")]
pub struct EgressDenied {
    target: String,
    reason: &'static str,
}

impl EgressPolicy {
    /// An HTTP client that enforces the policy. It follows no redirects: the server would choose their targets.
    pub fn client(self) -> Result<reqwest::Client, reqwest::Error> {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("steadfast/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(self)
            .build()
    }

    /// Checks the host of a URL. An address in a URL does not pass the resolver of the client.
    pub fn check_url(self, url: &Url) -> Result<(), EgressDenied> {
        match url.host() {
            Some(Host::Domain(name)) => self.check_name(name),
            Some(Host::Ipv4(address)) => self.check_address(IpAddr::V4(address), None),
            Some(Host::Ipv6(address)) => self.check_address(IpAddr::V6(address), None),
            None => Ok(()),
        }
    }

    fn check_name(self, name: &str) -> Result<(), EgressDenied> {
        let normalized = name.trim_end_matches('.').to_ascii_lowercase();
        let reason = if METADATA_NAMES.contains(&normalized.as_str()) {
            Some(METADATA)
        } else if !self.cluster_services && CLUSTER_SUFFIXES.iter().any(|suffix| normalized.ends_with(suffix)) {
            Some(IN_CLUSTER)
        } else {
            None
        };
        match reason {
            Some(reason) => Err(EgressDenied {
                target: name.to_owned(),
                reason,
            }),
            None => Ok(()),
        }
    }

    fn check_address(self, address: IpAddr, name: Option<&str>) -> Result<(), EgressDenied> {
        let Some(reason) = self.denial_reason(embedded_ipv4(address)) else {
            return Ok(());
        };
        let target = match name {
            Some(name) => format!("{address} (the address of {name})"),
            None => address.to_string(),
        };
        Err(EgressDenied { target, reason })
    }

    fn denial_reason(self, address: IpAddr) -> Option<&'static str> {
        if METADATA_ADDRESSES.contains(&address) {
            return Some(METADATA);
        }
        if address.is_loopback() {
            return (!self.loopback).then_some("it is a loopback address");
        }
        let (denied, private) = match address {
            IpAddr::V4(address) => (denied_v4(address), is_private_v4(address)),
            IpAddr::V6(address) => (denied_v6(address), address.is_unique_local()),
        };
        denied.or_else(|| (private && !self.cluster_services).then_some(IN_CLUSTER))
    }
}

const METADATA: &str = "it is the metadata service of the machine";
const LINK_LOCAL: &str = "it is link-local, where machines keep their metadata services";
const NOT_UNICAST: &str = "it is not a unicast address";
const IN_CLUSTER: &str =
    "it is in the cluster or in a private network, which this installation does not allow for tools";

fn denied_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_link_local() {
        return Some(LINK_LOCAL);
    }
    let not_unicast = address.octets()[0] == 0 || address.is_multicast() || address.octets()[0] >= 240;
    not_unicast.then_some(NOT_UNICAST)
}

fn denied_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unicast_link_local() {
        return Some(LINK_LOCAL);
    }
    (address.is_unspecified() || address.is_multicast()).then_some(NOT_UNICAST)
}

/// RFC 1918, and the shared address space (RFC 6598) that some clusters use for pods.
fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private() || (first == 100 && (64..128).contains(&second))
}

/// The IPv4 address inside an IPv6 address: mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`), NAT64
/// (`64:ff9b::a.b.c.d`) and 6to4 (`2002:ab:cd::`). Any other address stays as it is.
fn embedded_ipv4(address: IpAddr) -> IpAddr {
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

impl Resolve for EgressPolicy {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = *self;
        Box::pin(async move {
            let name = name.as_str();
            policy.check_name(name)?;
            let mut allowed: Vec<SocketAddr> = Vec::new();
            let mut denied = None;
            for address in tokio::net::lookup_host((name, 0)).await? {
                match policy.check_address(address.ip(), Some(name)) {
                    Ok(()) => allowed.push(address),
                    Err(error) => denied = Some(error),
                }
            }
            match denied {
                Some(error) if allowed.is_empty() => Err(error.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// The denial among the causes of an error, if the policy is why a request failed.
pub(crate) fn find_denial<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a EgressDenied> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: EgressPolicy = EgressPolicy {
        cluster_services: true,
        loopback: false,
    };
    const PUBLIC_ONLY: EgressPolicy = EgressPolicy {
        cluster_services: false,
        loopback: false,
    };

    fn allows(policy: EgressPolicy, url: &str) -> bool {
        policy.check_url(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn metadata_services_and_loopback_are_denied_in_every_notation() {
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
    fn cluster_addresses_are_denied_unless_the_policy_allows_them() {
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
    fn allowing_loopback_allows_nothing_else() {
        let local = EgressPolicy { loopback: true, ..OPEN };
        assert!(allows(local, "http://127.0.0.1:8080/"));
        assert!(allows(local, "http://[::1]/"));
        assert!(!allows(local, "http://169.254.169.254/"));
        assert!(!allows(local, "http://0.0.0.0/"));
    }

    #[tokio::test]
    async fn a_name_is_checked_by_the_addresses_that_it_resolves_to() {
        steadfast_process::crypto::install();
        let error = OPEN
            .client()
            .unwrap()
            .get("http://localhost:1/")
            .send()
            .await
            .unwrap_err();
        let denied = find_denial(&error).unwrap().to_string();
        assert!(denied.contains("(the address of localhost)"), "{denied}");
    }

    #[tokio::test]
    async fn a_request_to_an_allowed_name_is_sent() {
        steadfast_process::crypto::install();
        let local = EgressPolicy { loopback: true, ..OPEN };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let request = tokio::spawn(local.client().unwrap().get(url).send());
        listener.accept().await.unwrap();
        request.abort();
    }
}

//! The addresses that what other people write may name: tools, webhooks, MCP
//! servers, model APIs and the URLs of attachments. The policy checks the
//! addresses that a name resolves to when the connection is made, so that a DNS
//! record that changes afterwards cannot bypass it. Connects to nothing itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Names of the metadata services of clouds, which hand out the machine's credentials.
const METADATA_NAMES: [&str; 5] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "instance-data.ec2.internal",
];
/// Addresses of metadata services that are not link-local: Alibaba, Oracle, Azure, AWS and Google.
const METADATA_ADDRESSES: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
];
/// Suffixes of names that only the DNS of a cluster resolves.
const CLUSTER_SUFFIXES: [&str; 2] = [".svc", ".cluster.local"];
/// Suffixes that the public DNS never has: RFC 6761, RFC 6762 and ICANN's resolution 2024.07.29.06.
const PRIVATE_SUFFIXES: [&str; 3] = [".localhost", ".local", ".internal"];

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
    /// Addresses of this machine and of its networks, besides the public ones. Never the metadata services.
    pub const LOCAL: Self = Self {
        cluster_services: true,
        loopback: true,
    };
    /// The public internet alone.
    pub const PUBLIC: Self = Self {
        cluster_services: false,
        loopback: false,
    };

    /// Checks the host of a URL. An address in a URL does not pass the resolver of the client.
    pub fn check_url(self, url: &Url) -> Result<(), EgressDenied> {
        match url.host() {
            Some(Host::Domain(name)) => self.check_name(name),
            Some(Host::Ipv4(address)) => self.check_address(IpAddr::V4(address), None),
            Some(Host::Ipv6(address)) => self.check_address(IpAddr::V6(address), None),
            None => Ok(()),
        }
    }

    /// Checks a name before it is resolved.
    pub fn check_name(self, name: &str) -> Result<(), EgressDenied> {
        let normalized = name.trim_end_matches('.').to_ascii_lowercase();
        let reason = if METADATA_NAMES.contains(&normalized.as_str()) {
            Some(METADATA)
        } else if !self.cluster_services && is_cluster_name(&normalized) {
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

    /// Checks an address that a name, if there was one, has resolved to.
    pub fn check_address(self, address: IpAddr, name: Option<&str>) -> Result<(), EgressDenied> {
        let translated = is_translated(address).then_some(TRANSLATED);
        let Some(reason) = translated.or_else(|| self.denial_reason(embedded_ipv4(address))) else {
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
            IpAddr::V6(address) => (denied_v6(address), is_private_v6(address)),
        };
        denied.or_else(|| (private && !self.cluster_services).then_some(IN_CLUSTER))
    }
}

/// Whether a URL names a host of the public internet. For a URL that another process fetches: only that process sees the
/// addresses to which a name resolves.
pub fn names_public_host(url: &Url) -> bool {
    let is_private = |name: &str| {
        let name = name.trim_end_matches('.');
        name == "localhost" || PRIVATE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
    };
    match url.host() {
        Some(Host::Domain(name)) if is_private(name) => false,
        Some(Host::Ipv6(address)) if !is_global_unicast(address) => false,
        Some(_) => EgressPolicy::PUBLIC.check_url(url).is_ok(),
        None => false,
    }
}

const METADATA: &str = "it is the metadata service of the machine";
const LINK_LOCAL: &str = "it is link-local, where machines keep their metadata services";
const NOT_UNICAST: &str = "it is not a unicast address";
const IN_CLUSTER: &str = "it is in the cluster or in a private network, which this installation does not allow";
const TRANSLATED: &str = "it stands for an IPv4 address in a way that cannot be checked";

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

/// Global unicast (RFC 4291, section 2.4), without 6to4, which stands for an IPv4 address.
fn is_global_unicast(address: Ipv6Addr) -> bool {
    (address.segments()[0] & 0xe000) == 0x2000 && address.segments()[0] != 0x2002
}

/// NAT64 of a local network (RFC 8215), in which only that network knows where the IPv4 address stands; Teredo; ISATAP.
fn is_translated(address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    matches!(
        address.segments(),
        [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] | [_, _, _, _, 0 | 0x200, 0x5efe, ..]
    )
}

/// A name that only the DNS of a cluster resolves. `localhost` is checked by its addresses.
fn is_cluster_name(name: &str) -> bool {
    let has_no_dot = !name.contains('.') && name != "localhost";
    has_no_dot || CLUSTER_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// RFC 1918; the shared address space (RFC 6598) that some clusters use for pods; the networks for protocols
/// (RFC 6890) and for benchmarks (RFC 2544).
fn is_private_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        [100, second, ..] => (64..128).contains(&second),
        [192, 0, 0, _] | [198, 18 | 19, ..] => true,
        _ => address.is_private(),
    }
}

/// Unique local addresses, and site-local ones, their predecessor.
fn is_private_v6(address: Ipv6Addr) -> bool {
    address.is_unique_local() || address.segments()[0] & 0xffc0 == 0xfec0
}

/// The IPv4 address inside an IPv6 address: mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`), translated
/// (`::ffff:0:a.b.c.d`), NAT64 (`64:ff9b::a.b.c.d`) and 6to4 (`2002:ab:cd::`). Any other address stays as it is.
fn embedded_ipv4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if v6.is_loopback() || v6.is_unspecified() {
        return address;
    }
    let ([0, 0, 0, 0, 0, 0 | 0xffff, high, low]
    | [0, 0, 0, 0, 0xffff, 0, high, low]
    | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
    | [0x2002, high, low, ..]) = v6.segments()
    else {
        return address;
    };
    IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: EgressPolicy = EgressPolicy {
        cluster_services: true,
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
            "http://[::ffff:0:169.254.169.254]/",
            "http://[2001:db8::5efe:169.254.169.254]/",
            "http://[64:ff9b:1::1]/",
            "http://[2001:0:1::1]/",
            "http://192.0.0.192/",
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
            "http://[fec0::1]/",
            "http://198.18.0.1/",
            "http://ledger/",
            "http://[::ffff:10.0.0.1]/",
        ] {
            assert!(allows(OPEN, url), "{url}");
            assert!(!allows(EgressPolicy::PUBLIC, url), "{url}");
        }
        for url in [
            "https://api.openai.com/",
            "http://93.184.216.34/",
            "http://[2606:4700::1]/",
        ] {
            assert!(allows(EgressPolicy::PUBLIC, url), "{url}");
        }
    }

    #[test]
    fn a_public_host_has_no_name_of_a_private_network() {
        for url in [
            "https://localhost/",
            "https://redis/",
            "https://printer.local/",
            "https://app.localhost./",
            "https://api.default.svc/",
            "https://api.internal/",
            "https://10.1.2.3/",
            "https://100.64.0.1/",
            "https://198.18.0.1/",
            "https://240.0.0.1/",
            "https://0.1.2.3/",
            "https://[fd00::1]/",
            "https://[100::1]/",
            "https://[5f00::1]/",
            "https://[2002:5db8:d822::1]/",
        ] {
            assert!(!names_public_host(&Url::parse(url).unwrap()), "{url}");
        }
        for url in [
            "https://example.com/a",
            "https://93.184.216.34/",
            "https://[2606:4700::1]/",
        ] {
            assert!(names_public_host(&Url::parse(url).unwrap()), "{url}");
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
}

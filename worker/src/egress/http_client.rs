//! The HTTP clients of this process: they resolve names under the egress policy,
//! follow no redirects, and connect through the outbound proxy if there is one.
//!
//! Behind a proxy, the proxy resolves the names, and the policy cannot see their
//! addresses. It still refuses addresses in URLs and the names that it knows.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use steadfast_egress::EgressPolicy;
use steadfast_process::outbound::{CONNECT_TIMEOUT, Outbound};

use super::connection_fault::lookup_error;

/// The egress policy of a kind of request, and the way out.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    pub policy: EgressPolicy,
    pub outbound: Outbound,
}

impl From<EgressPolicy> for Egress {
    fn from(policy: EgressPolicy) -> Self {
        Self {
            policy,
            outbound: Outbound::default(),
        }
    }
}

impl Egress {
    /// An HTTP client. It follows no redirects: the server would choose their targets.
    pub fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        let resolver = PolicyResolver {
            policy: self.policy,
            proxies: self.outbound.proxy_hosts(),
        };
        self.outbound
            .apply(reqwest::Client::builder())
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("steadfast/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(resolver)
            .build()
    }
}

struct PolicyResolver {
    policy: EgressPolicy,
    /// Names of the proxies, which the installation chose: the policy does not apply to them.
    proxies: Vec<String>,
}

impl Resolve for PolicyResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy;
        let is_proxy = self
            .proxies
            .iter()
            .any(|proxy| proxy.eq_ignore_ascii_case(name.as_str()));
        Box::pin(async move {
            let name = name.as_str();
            let found = tokio::net::lookup_host((name, 0));
            if is_proxy {
                return Ok(Box::new(found.await?.collect::<Vec<_>>().into_iter()) as Addrs);
            }
            policy.check_name(name)?;
            let mut allowed: Vec<SocketAddr> = Vec::new();
            let mut denied = None;
            for address in found.await.map_err(|error| lookup_error(name, error))? {
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

#[cfg(test)]
mod tests;

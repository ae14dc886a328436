//! How a program reaches the world outside of the cluster: through which proxy,
//! and which certificate authorities it trusts besides the public ones. Reads no
//! environment variable: the usual `HTTPS_PROXY` would also apply to the clients
//! of Kubernetes and Temporal.

use std::{fmt, time::Duration};

use hyper_util::client::{
    legacy::connect::{HttpConnector, proxy::Tunnel},
    proxy::matcher::Matcher,
};
use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy};

use crate::pem::{PemError, read_certificates};

/// Limit for opening a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const CA_BUNDLE: &str = "STEADFAST_CA_BUNDLE";

/// What a program was told, as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct OutboundArgs {
    /// Proxy for https:// URLs outside of the cluster, `http://[USER:PASSWORD@]HOST:PORT`.
    #[arg(long, env = "STEADFAST_HTTPS_PROXY", hide_env_values = true)]
    pub https_proxy: Option<String>,
    /// Proxy for http:// URLs.
    #[arg(long, env = "STEADFAST_HTTP_PROXY", hide_env_values = true)]
    pub http_proxy: Option<String>,
    /// Hosts that are reached without a proxy, separated by commas: names (with all names below them), IP addresses,
    /// networks (10.0.0.0/8), or * for every host.
    #[arg(long, env = "STEADFAST_NO_PROXY")]
    pub no_proxy: Option<String>,
    /// Certificates of authorities that are trusted besides the public ones, as PEM.
    #[arg(long, env = "STEADFAST_CA_BUNDLE", hide_env_values = true)]
    pub ca_bundle: Option<String>,
}

/// The way out. `Debug` shows neither a proxy's password nor a certificate.
#[derive(Clone, Default)]
pub struct Outbound {
    https: Option<ProxyAddress>,
    http: Option<ProxyAddress>,
    no_proxy: String,
    authorities: Vec<Certificate>,
    /// The authorities as PEM, for clients with a TLS of their own.
    pub(crate) authorities_pem: Option<String>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Outbound")
            .field("proxies", &self.proxy_hosts())
            .field("no_proxy", &self.no_proxy)
            .field("authorities", &self.authorities.len())
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct ProxyAddress {
    proxy: Proxy,
    uri: http::Uri,
}

/// Why a setting cannot be used. Shows no value: the address of a proxy may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address of a proxy is no URL with a host.
    #[error("{setting} is not the address of a proxy, http://[USER:PASSWORD@]HOST:PORT")]
    Proxy {
        /// The variable that holds it.
        setting: &'static str,
    },
    /// The certificates cannot be read.
    #[error(transparent)]
    Certificates(#[from] PemError),
}

impl Outbound {
    /// Reads the settings. Empty texts count as absent.
    pub fn new(args: &OutboundArgs) -> Result<Self, OutboundError> {
        let set = |text: &Option<String>| {
            text.as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let no_proxy = set(&args.no_proxy).unwrap_or_default();
        let authorities_pem = read_certificates(CA_BUNDLE, None, set(&args.ca_bundle).as_deref())?;
        let authorities = match &authorities_pem {
            None => Vec::new(),
            Some(pem) => Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(|_| PemError::NoCertificate(CA_BUNDLE.to_owned()))?,
        };
        let https = set(&args.https_proxy)
            .map(|address| proxy(&address, "STEADFAST_HTTPS_PROXY", |url| Proxy::https(url), &no_proxy));
        let http = set(&args.http_proxy)
            .map(|address| proxy(&address, "STEADFAST_HTTP_PROXY", |url| Proxy::http(url), &no_proxy));
        Ok(Self {
            https: https.transpose()?,
            http: http.transpose()?,
            no_proxy,
            authorities,
            authorities_pem,
        })
    }

    /// Makes an HTTP client use the proxies and trust the authorities; the variables of the system do not apply.
    pub fn apply(&self, client: ClientBuilder) -> ClientBuilder {
        let proxies = self.https.iter().chain(&self.http);
        let client = proxies.fold(client.no_proxy(), |client, address| client.proxy(address.proxy.clone()));
        if self.authorities.is_empty() {
            return client;
        }
        client.tls_certs_merge(self.authorities.iter().cloned())
    }

    /// The URL of a gRPC server and a connector to it through the proxy; `None` for a server that is reached without
    /// one. Only TLS goes through a proxy.
    pub(crate) fn tunnel(&self, server: &str) -> Option<(http::Uri, Tunnel<HttpConnector>)> {
        let server: http::Uri = server.parse().ok()?;
        let address = self.https.as_ref().filter(|_| server.scheme_str() == Some("https"))?;
        let proxies = Matcher::builder()
            .https(address.uri.to_string())
            .no(self.no_proxy.clone())
            .build();
        let proxy = proxies.intercept(&server)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tunnel = Tunnel::new(proxy.uri().clone(), connector);
        let tunnel = match proxy.basic_auth() {
            Some(credentials) => tunnel.with_auth(credentials.clone()),
            None => tunnel,
        };
        Some((server, tunnel))
    }

    /// The hosts of the proxies.
    #[must_use]
    pub fn proxy_hosts(&self) -> Vec<String> {
        let addresses = self.https.iter().chain(&self.http);
        addresses
            .filter_map(|address| address.uri.host().map(str::to_owned))
            .collect()
    }
}

fn proxy(
    address: &str,
    setting: &'static str,
    kind: impl FnOnce(&str) -> reqwest::Result<Proxy>,
    no_proxy: &str,
) -> Result<ProxyAddress, OutboundError> {
    let refused = || OutboundError::Proxy { setting };
    let address = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let uri: http::Uri = address.parse().map_err(|_| refused())?;
    if uri.host().is_none_or(str::is_empty) || !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(refused());
    }
    let proxy = kind(&address)
        .map_err(|_| refused())?
        .no_proxy(NoProxy::from_string(no_proxy));
    Ok(ProxyAddress { proxy, uri })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(https_proxy: &str, ca_bundle: &str) -> Result<Outbound, OutboundError> {
        Outbound::new(&OutboundArgs {
            https_proxy: Some(https_proxy.to_owned()),
            ca_bundle: Some(ca_bundle.to_owned()),
            ..OutboundArgs::default()
        })
    }

    #[test]
    fn empty_settings_are_none() {
        let outbound = settings("", " ").unwrap();
        assert_eq!(outbound.proxy_hosts(), Vec::<String>::new());
    }

    #[test]
    fn a_proxy_has_a_host_and_the_error_shows_no_password() {
        assert_eq!(
            settings("proxy.example.com:3128", "").unwrap().proxy_hosts(),
            ["proxy.example.com"]
        );
        let outbound = settings("http://me:s3cret@proxy.example.com:3128", "").unwrap();
        assert!(!format!("{outbound:?}").contains("s3cret"));
        let error = settings("ftp://me:s3cret@proxy.example.com", "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "STEADFAST_HTTPS_PROXY is not the address of a proxy, http://[USER:PASSWORD@]HOST:PORT"
        );
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        assert!(matches!(settings("", "none"), Err(OutboundError::Certificates(_))));
    }
}

//! From arguments to checked settings: the address is parsed, certificates are
//! read, and it is decided whether TLS is used. Reads files, opens no connection.

use secrecy::{ExposeSecret, SecretString};
use steadfast_process::pem::{PemError, read_certificates, read_private_key};
use temporalio_client::{ClientTlsOptions, TlsOptions};
use temporalio_common::telemetry::metrics::TemporalMeter;
use url::Url;

use crate::{
    args::TemporalArgs,
    encryption::{Codec, KeysError},
};

const DEFAULT_PORT: u16 = 7233;

/// Where Temporal is and how to connect. Debug output holds no secret.
#[derive(Clone, Debug)]
pub struct TemporalSettings {
    pub(crate) target: Url,
    pub(crate) namespace: String,
    pub(crate) api_key: Option<SecretString>,
    pub(crate) tls: Option<TlsSettings>,
    /// Hears of every request.
    pub(crate) meter: Option<TemporalMeter>,
    codec: Codec,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    server_ca: Option<String>,
    client: Option<ClientCertificate>,
    server_name: Option<String>,
}

#[derive(Clone, Debug)]
struct ClientCertificate {
    certificate: String,
    key: SecretString,
}

/// The arguments contradict each other or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The address cannot be parsed.
    #[error("the Temporal address {address:?} is neither HOST:PORT nor a URL")]
    Address {
        /// As it was given.
        address: String,
        /// Why.
        #[source]
        source: url::ParseError,
    },
    /// The URL is for something else.
    #[error("the Temporal address {0:?} must be HOST:PORT, or begin with http:// or https://")]
    Scheme(String),
    /// A setting needs TLS, and another one turns TLS off.
    #[error(
        "{setting} needs TLS, but {cause}: set TEMPORAL_ADDRESS to HOST:PORT or https://HOST:PORT and do not set TEMPORAL_TLS=false"
    )]
    TlsOff {
        /// Setting that needs TLS.
        setting: &'static str,
        /// Why TLS is off.
        cause: &'static str,
    },
    /// One half of the client certificate is missing.
    #[error("a client certificate needs both halves: {missing} is not set")]
    ClientCertificateIncomplete {
        /// What is missing.
        missing: &'static str,
    },
    /// A certificate or key cannot be read.
    #[error("read the TLS settings of Temporal")]
    Pem(#[from] PemError),
    /// The encryption keys cannot be used.
    #[error("read the encryption keys")]
    Keys(#[from] KeysError),
}

impl TemporalSettings {
    /// Checks the arguments and reads certificates and keys.
    pub fn new(args: &TemporalArgs) -> Result<Self, SettingsError> {
        let api_key = args
            .temporal_api_key
            .clone()
            .filter(|key| !key.expose_secret().is_empty());
        let tls = TlsSettings::read(args)?;
        let target = resolve(
            &args.temporal_address,
            args.temporal_tls,
            tls_reason(api_key.as_ref(), &tls),
        )?;
        let on = target.scheme() == "https";
        Ok(Self {
            target,
            namespace: args.temporal_namespace.clone(),
            api_key,
            tls: on.then_some(tls),
            meter: None,
            codec: Codec::read(args.encryption_keys_path.as_deref(), args.encryption_key_id.as_deref())?,
        })
    }

    /// Settings for a frontend without TLS and without authentication, such as a development server.
    pub fn insecure(address: &str, namespace: impl Into<String>) -> Result<Self, SettingsError> {
        Ok(Self {
            target: resolve(address, None, None)?,
            namespace: namespace.into(),
            api_key: None,
            tls: None,
            meter: None,
            codec: Codec::default(),
        })
    }

    /// The same with a codec of the caller's.
    #[must_use]
    pub fn with_codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The same with a meter that hears of every request of the connection.
    #[must_use]
    pub fn with_meter(mut self, meter: TemporalMeter) -> Self {
        self.meter = Some(meter);
        self
    }

    /// The Temporal namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Encrypts and decrypts payloads.
    #[must_use]
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// The frontend as a URL; `https` when TLS is used.
    #[must_use]
    pub fn target(&self) -> &Url {
        &self.target
    }
}

impl TlsSettings {
    fn read(args: &TemporalArgs) -> Result<Self, SettingsError> {
        let server_ca = read_certificates(
            "TEMPORAL_TLS_SERVER_CA_CERT_DATA",
            args.temporal_tls_ca_path.as_deref(),
            args.temporal_tls_ca_data.as_deref(),
        )?;
        let certificate = read_certificates(
            "TEMPORAL_TLS_CLIENT_CERT_DATA",
            args.temporal_tls_cert_path.as_deref(),
            args.temporal_tls_cert_data.as_deref(),
        )?;
        let key = read_private_key(
            "TEMPORAL_TLS_CLIENT_KEY_DATA",
            args.temporal_tls_key_path.as_deref(),
            args.temporal_tls_key_data.as_ref().map(ExposeSecret::expose_secret),
        )?;
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate {
                certificate,
                key: key.into(),
            }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(SettingsError::ClientCertificateIncomplete {
                    missing: "TEMPORAL_TLS_CLIENT_KEY_PATH (or _DATA)",
                });
            }
            (None, Some(_)) => {
                return Err(SettingsError::ClientCertificateIncomplete {
                    missing: "TEMPORAL_TLS_CLIENT_CERT_PATH (or _DATA)",
                });
            }
        };
        Ok(Self {
            server_ca,
            client,
            server_name: args.temporal_tls_server_name.clone().filter(|name| !name.is_empty()),
        })
    }

    pub(crate) fn options(&self) -> TlsOptions {
        let client = self.client.as_ref().map(|client| {
            ClientTlsOptions::builder()
                .client_cert(client.certificate.clone().into_bytes())
                .client_private_key(client.key.expose_secret().as_bytes().to_vec())
                .build()
        });
        TlsOptions::builder()
            .maybe_server_root_ca_cert(self.server_ca.clone().map(String::into_bytes))
            .maybe_client_tls_options(client)
            .maybe_domain(self.server_name.clone())
            .build()
    }
}

/// The setting that asks for TLS without saying so.
fn tls_reason(api_key: Option<&SecretString>, tls: &TlsSettings) -> Option<&'static str> {
    if api_key.is_some() {
        Some("TEMPORAL_API_KEY")
    } else if tls.client.is_some() {
        Some("TEMPORAL_TLS_CLIENT_CERT_PATH (or _DATA)")
    } else if tls.server_ca.is_some() {
        Some("TEMPORAL_TLS_SERVER_CA_CERT_PATH (or _DATA)")
    } else if tls.server_name.is_some() {
        Some("TEMPORAL_TLS_SERVER_NAME")
    } else {
        None
    }
}

/// The URL to connect to, and with its scheme whether TLS is used.
fn resolve(address: &str, tls: Option<bool>, reason: Option<&'static str>) -> Result<Url, SettingsError> {
    let address = address.trim();
    let parse = |text: &str| {
        Url::parse(text).map_err(|source| SettingsError::Address {
            address: address.to_owned(),
            source,
        })
    };
    if address.contains("://") {
        let url = parse(address)?;
        return match (url.scheme(), tls) {
            ("https", Some(false)) => Err(SettingsError::TlsOff {
                setting: "an address that begins with https://",
                cause: "TEMPORAL_TLS is false",
            }),
            ("https", _) => Ok(url),
            ("http", tls) => match reason.or((tls == Some(true)).then_some("TEMPORAL_TLS=true")) {
                Some(setting) => Err(SettingsError::TlsOff {
                    setting,
                    cause: "the address begins with http://",
                }),
                None => Ok(url),
            },
            _ => Err(SettingsError::Scheme(address.to_owned())),
        };
    }
    if let (Some(setting), Some(false)) = (reason, tls) {
        return Err(SettingsError::TlsOff {
            setting,
            cause: "TEMPORAL_TLS is false",
        });
    }
    let on = reason.is_some() || tls == Some(true);
    let scheme = if on { "https" } else { "http" };
    // A scheme's own port is left out of a parsed URL: ask the text whether one was given.
    let mut url = parse(&format!("{scheme}://{address}"))?;
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if !has_port {
        // Cannot fail: the URL has a host.
        let _ = url.set_port(Some(DEFAULT_PORT));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;

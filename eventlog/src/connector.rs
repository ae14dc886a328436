//! From arguments to a way to connect: one Redis server, or the one that the
//! Sentinels call master at that moment. Checks everything before the first connection.

use std::{fmt, sync::Arc};

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisError, TlsCertificates,
    TlsMode,
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use secrecy::{ExposeSecret, SecretString};
use steadfast_process::pem::{PemError, read_certificates, read_private_key};
use tokio::sync::Mutex;

use crate::args::RedisArgs;

const SENTINEL_PORT: u16 = 26379;
const MASTER_PARAMETER: &str = "sentinelMasterId=";

/// Makes clients of the Redis server that takes writes. Cheap to clone; connects only when asked.
#[derive(Clone)]
pub struct RedisConnector {
    target: Target,
}

#[derive(Clone)]
enum Target {
    Server(Arc<Client>),
    /// Locked because its connections to the Sentinels are reused.
    Sentinel(Arc<Mutex<SentinelClient>>),
}

/// The arguments contradict each other or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RedisSettingsError {
    /// The URL cannot be used.
    #[error("read REDIS_URL")]
    Url(#[source] RedisError),
    /// A Sentinel URL without the name of the master.
    #[error(
        "REDIS_URL names no master: add ?sentinelMasterId=NAME, as in redis-sentinel://HOST:26379/0?sentinelMasterId=mymaster"
    )]
    NoMasterName,
    /// Certificates for a connection without TLS.
    #[error("REDIS_TLS_* is set, but REDIS_URL does not use TLS: begin it with rediss:// or rediss-sentinel://")]
    CertificatesWithoutTls,
    /// Credentials of Sentinels for a connection without them.
    #[error("REDIS_SENTINEL_* is set, but REDIS_URL does not begin with redis-sentinel:// or rediss-sentinel://")]
    CredentialsWithoutSentinel,
    /// One half of the client certificate is missing.
    #[error("a client certificate needs both halves: {missing} is not set")]
    ClientCertificateIncomplete {
        /// What is missing.
        missing: &'static str,
    },
    /// A certificate or key cannot be read.
    #[error("read the TLS settings of Redis")]
    Pem(#[from] PemError),
}

impl RedisConnector {
    /// Checks the arguments and reads certificates and keys.
    pub fn new(args: &RedisArgs) -> Result<Self, RedisSettingsError> {
        let certificates = certificates(args)?;
        let url = args.redis_url.expose_secret();
        let target = match sentinel_url(url)? {
            Some(sentinel) => Target::Sentinel(sentinel_client(&sentinel, args, certificates)?),
            None if set(args.redis_sentinel_username.as_deref()).is_some()
                || secret(args.redis_sentinel_password.as_ref()).is_some() =>
            {
                return Err(RedisSettingsError::CredentialsWithoutSentinel);
            }
            None => Target::Server(Arc::new(server_client(url, args, certificates)?)),
        };
        Ok(Self { target })
    }

    /// A connector with no settings but the URL.
    pub fn from_url(url: &str) -> Result<Self, RedisSettingsError> {
        Self::new(&RedisArgs {
            redis_url: url.into(),
            redis_username: None,
            redis_password: None,
            redis_tls_ca_path: None,
            redis_tls_ca_data: None,
            redis_tls_cert_path: None,
            redis_tls_cert_data: None,
            redis_tls_key_path: None,
            redis_tls_key_data: None,
            redis_sentinel_username: None,
            redis_sentinel_password: None,
        })
    }

    /// A client of the server that takes writes now. With Sentinel, this asks the
    /// Sentinels and verifies the master's role, so it connects; ask again after
    /// every lost connection. Bounding the time is the caller's part.
    pub async fn client(&self) -> Result<Client, RedisError> {
        match &self.target {
            Target::Server(client) => Ok(Client::clone(client)),
            Target::Sentinel(sentinel) => sentinel.lock().await.async_get_client().await,
        }
    }
}

/// Shows no address: it may hold a password.
impl fmt::Debug for RedisConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnector").finish_non_exhaustive()
    }
}

fn server_client(
    url: &str,
    args: &RedisArgs,
    certificates: Option<TlsCertificates>,
) -> Result<Client, RedisSettingsError> {
    let info = connection_info(url, args)?;
    match certificates {
        Some(_) if !uses_tls(&info) => Err(RedisSettingsError::CertificatesWithoutTls),
        Some(certificates) => Client::build_with_tls(info, certificates).map_err(RedisSettingsError::Url),
        None => Client::open(info).map_err(RedisSettingsError::Url),
    }
}

fn connection_info(url: &str, args: &RedisArgs) -> Result<ConnectionInfo, RedisSettingsError> {
    let info = url.into_connection_info().map_err(RedisSettingsError::Url)?;
    let mut redis = info.redis_settings().clone();
    if let Some(username) = set(args.redis_username.as_deref()) {
        redis = redis.set_username(username);
    }
    if let Some(password) = secret(args.redis_password.as_ref()) {
        redis = redis.set_password(password);
    }
    Ok(info.set_redis_settings(redis).set_tcp_settings(tcp_settings()))
}

/// Small commands of many tasks share a connection: do not wait to fill packets.
fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn uses_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

struct SentinelUrl {
    /// One URL for each Sentinel, with the user, password and database of Redis.
    nodes: Vec<String>,
    master: String,
}

/// `None` for any other URL. The form is that of Lettuce and Spring:
/// `redis-sentinel://[USER[:PASSWORD]@]HOST[:PORT],…[/DB]?sentinelMasterId=NAME`.
fn sentinel_url(url: &str) -> Result<Option<SentinelUrl>, RedisSettingsError> {
    let (scheme, rest) = if let Some(rest) = url.strip_prefix("redis-sentinel://") {
        ("redis", rest)
    } else if let Some(rest) = url.strip_prefix("rediss-sentinel://") {
        ("rediss", rest)
    } else {
        return Ok(None);
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let master = query
        .split('&')
        .find_map(|parameter| parameter.strip_prefix(MASTER_PARAMETER))
        .filter(|name| !name.is_empty())
        .ok_or(RedisSettingsError::NoMasterName)?;
    let (authority, database) = rest.split_once('/').unwrap_or((rest, "0"));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let database = if database.is_empty() { "0" } else { database };
    let nodes = hosts
        .split(',')
        .map(|host| {
            let port = if has_port(host) {
                String::new()
            } else {
                format!(":{SENTINEL_PORT}")
            };
            format!("{scheme}://{user}{host}{port}/{database}")
        })
        .collect();
    Ok(Some(SentinelUrl {
        nodes,
        master: master.to_owned(),
    }))
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok() && !host.ends_with(']'))
}

fn sentinel_client(
    sentinel: &SentinelUrl,
    args: &RedisArgs,
    certificates: Option<TlsCertificates>,
) -> Result<Arc<Mutex<SentinelClient>>, RedisSettingsError> {
    let nodes = sentinel
        .nodes
        .iter()
        .map(|node| connection_info(node, args))
        .collect::<Result<Vec<_>, _>>()?;
    let tls = nodes.iter().any(uses_tls);
    if certificates.is_some() && !tls {
        return Err(RedisSettingsError::CertificatesWithoutTls);
    }
    let addresses = nodes.iter().map(|node| node.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, &sentinel.master, SentinelServerType::Master)
        .map_err(RedisSettingsError::Url)?
        .set_client_to_redis_tcp_settings(tcp_settings());
    if let Some(redis) = nodes.first().map(ConnectionInfo::redis_settings) {
        builder = builder.set_client_to_redis_db(redis.db());
        if let Some(username) = redis.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = redis.password() {
            builder = builder.set_client_to_redis_password(password);
        }
    }
    if tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    if let Some(username) = set(args.redis_sentinel_username.as_deref()) {
        builder = builder.set_client_to_sentinel_username(username);
    }
    if let Some(password) = secret(args.redis_sentinel_password.as_ref()) {
        builder = builder.set_client_to_sentinel_password(password);
    }
    let client = builder.build().map_err(RedisSettingsError::Url)?;
    Ok(Arc::new(Mutex::new(client)))
}

fn certificates(args: &RedisArgs) -> Result<Option<TlsCertificates>, RedisSettingsError> {
    let root_cert = read_certificates(
        "REDIS_TLS_CA_CERT_DATA",
        args.redis_tls_ca_path.as_deref(),
        args.redis_tls_ca_data.as_deref(),
    )?;
    let client_cert = read_certificates(
        "REDIS_TLS_CLIENT_CERT_DATA",
        args.redis_tls_cert_path.as_deref(),
        args.redis_tls_cert_data.as_deref(),
    )?;
    let client_key = read_private_key(
        "REDIS_TLS_CLIENT_KEY_DATA",
        args.redis_tls_key_path.as_deref(),
        secret(args.redis_tls_key_data.as_ref()),
    )?;
    let client_tls = match (client_cert, client_key) {
        (Some(certificate), Some(key)) => Some(ClientTlsConfig {
            client_cert: certificate.into_bytes(),
            client_key: key.into_bytes(),
        }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(RedisSettingsError::ClientCertificateIncomplete {
                missing: "REDIS_TLS_CLIENT_KEY_PATH (or _DATA)",
            });
        }
        (None, Some(_)) => {
            return Err(RedisSettingsError::ClientCertificateIncomplete {
                missing: "REDIS_TLS_CLIENT_CERT_PATH (or _DATA)",
            });
        }
    };
    Ok((root_cert.is_some() || client_tls.is_some()).then(|| TlsCertificates {
        client_tls,
        root_cert: root_cert.map(String::into_bytes),
    }))
}

/// The secret's text, unless it is absent or empty.
fn secret(secret: Option<&SecretString>) -> Option<&str> {
    set(secret.map(ExposeSecret::expose_secret))
}

/// An empty variable is an absent one.
fn set(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;

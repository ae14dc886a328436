//! How the gateway and the workers of a stack reach Temporal and Redis.

use std::path::Path;

use anyhow::Context as _;

use super::{INSTALL, encryption_keys::EncryptionKeys};
use crate::{
    certificates::{Certificate, CertificateAuthority},
    process::Launch,
    redis::{Redis, RedisOptions, RedisTls},
    temporal::Temporal,
    tls_proxy::{ClientCertificates, TlsProxy},
};

/// The API key that `Connections::secured` gives the programs.
pub const TEMPORAL_API_KEY: &str = "temporal-key-of-the-test";
/// The ACL user of the programs at a secured Redis.
pub const REDIS_USER: &str = "steadfast";
const REDIS_PASSWORD: &str = "redis-password-of-the-test";

/// The servers' addresses as environment variables, and what stands in front of the servers.
#[derive(Debug)]
pub(super) struct Connections {
    variables: Vec<(&'static str, String)>,
    secured: Option<Secured>,
}

#[derive(Debug)]
struct Secured {
    proxy: TlsProxy,
    _authority: CertificateAuthority,
}

impl Connections {
    /// Without TLS and without authentication.
    pub(super) fn plain(temporal: &Temporal, redis: &Redis) -> Self {
        Self {
            variables: vec![("TEMPORAL_ADDRESS", temporal.url()), ("REDIS_URL", redis.url())],
            secured: None,
        }
    }

    /// Everything a strict installation asks for: a private authority, client certificates
    /// at both servers, an API key at Temporal, an ACL user at Redis. Also starts that Redis.
    pub(super) async fn secured(temporal: &Temporal) -> anyhow::Result<(Self, Redis)> {
        let authority = CertificateAuthority::new()?;
        let clients = ClientCertificates::Required;
        let redis = Redis::start_with(RedisOptions {
            tls: Some(RedisTls {
                authority: &authority,
                names: &["localhost"],
                clients,
            }),
            users: &[&acl_user()],
            ..RedisOptions::default()
        })
        .await?;
        let proxy = TlsProxy::start(&temporal.address(), &authority, &["localhost"], clients).await?;
        let Certificate { certificate, key } = authority.client("steadfast")?;
        let authority_file = authority.certificate();
        // Files for Temporal, values for Redis: both forms reach a program.
        let variables = vec![
            ("TEMPORAL_ADDRESS", format!("localhost:{}", proxy.port())),
            ("TEMPORAL_API_KEY", TEMPORAL_API_KEY.to_owned()),
            ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", authority_file.display().to_string()),
            ("TEMPORAL_TLS_CLIENT_CERT_PATH", certificate.display().to_string()),
            ("TEMPORAL_TLS_CLIENT_KEY_PATH", key.display().to_string()),
            ("REDIS_URL", format!("rediss://localhost:{}", redis.tls_port())),
            ("REDIS_USERNAME", REDIS_USER.to_owned()),
            ("REDIS_PASSWORD", REDIS_PASSWORD.to_owned()),
            ("REDIS_TLS_CA_CERT_DATA", read(&authority_file)?),
            ("REDIS_TLS_CLIENT_CERT_DATA", read(&certificate)?),
            ("REDIS_TLS_CLIENT_KEY_DATA", read(&key)?),
        ];
        let connections = Self {
            variables,
            secured: Some(Secured {
                proxy,
                _authority: authority,
            }),
        };
        Ok((connections, redis))
    }

    /// The same with encryption.
    pub(super) fn encrypted(mut self, keys: &EncryptionKeys, key_id: &str) -> Self {
        self.variables.extend([
            ("STEADFAST_ENCRYPTION_KEYS_PATH", keys.path().display().to_string()),
            ("STEADFAST_ENCRYPTION_KEY_ID", key_id.to_owned()),
        ]);
        self
    }

    /// Tells the programs the size of a history at which this Temporal ends a workflow.
    pub(super) fn add_history_limit(&mut self, bytes: String) {
        self.variables.push(("STEADFAST_HISTORY_LIMIT_BYTES", bytes));
    }

    /// Tells the programs where attachments are kept.
    pub(super) fn add_attachments(&mut self, directory: &Path) {
        let url = format!("file://{}", directory.display());
        self.variables.push(("STEADFAST_ATTACHMENTS_URL", url));
    }

    /// Adds the variables to a program's environment.
    pub(super) fn apply(&self, launch: Launch) -> Launch {
        self.variables
            .iter()
            .fold(launch, |launch, (name, value)| launch.variable(name, value))
            .variable("TEMPORAL_NAMESPACE", "default")
    }

    pub(super) fn temporal_proxy(&self) -> Option<&TlsProxy> {
        self.secured.as_ref().map(|secured| &secured.proxy)
    }
}

/// The rule that docs/install.md gives, for this install.
fn acl_user() -> String {
    format!(
        "{REDIS_USER} on >{REDIS_PASSWORD} ~{INSTALL}:* &{INSTALL}:* +@read +@write +@scripting +@connection \
         +@pubsub +@fast -@dangerous +client|id +client|unblock +role"
    )
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

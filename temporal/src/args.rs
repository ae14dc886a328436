//! Flags and environment variables. The variables are those of Temporal's own
//! command line and SDKs; the flags are the command line's with `temporal-` before them.

use std::path::PathBuf;

use clap::{Args, builder::BoolishValueParser};
use secrecy::SecretString;

/// How to reach Temporal; flatten it into a program's arguments.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Temporal")]
#[group(skip)]
pub struct TemporalArgs {
    /// Address of the Temporal frontend: HOST:PORT, or a URL (https:// turns TLS on).
    #[arg(long, env = "TEMPORAL_ADDRESS", default_value = "127.0.0.1:7233")]
    pub temporal_address: String,

    /// Temporal namespace. On Temporal Cloud: NAME.ACCOUNT.
    #[arg(long, env = "TEMPORAL_NAMESPACE", default_value = "default")]
    pub temporal_namespace: String,

    /// API key, sent with every request. Turns TLS on; refused without TLS.
    #[arg(long, env = "TEMPORAL_API_KEY", hide_env_values = true)]
    pub temporal_api_key: Option<SecretString>,

    /// Whether to use TLS. Default: yes for https://, and when an API key, a certificate or a server name is set.
    #[arg(
        long,
        env = "TEMPORAL_TLS",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub temporal_tls: Option<bool>,

    /// File with the certificates of the authority that signed the server's certificate (PEM).
    /// Default: the authorities that the system trusts.
    #[arg(long, env = "TEMPORAL_TLS_SERVER_CA_CERT_PATH", value_name = "FILE")]
    pub temporal_tls_ca_path: Option<PathBuf>,

    /// The same as PEM text instead of a file.
    #[arg(
        long,
        env = "TEMPORAL_TLS_SERVER_CA_CERT_DATA",
        value_name = "PEM",
        hide_env_values = true,
        conflicts_with = "temporal_tls_ca_path"
    )]
    pub temporal_tls_ca_data: Option<String>,

    /// File with the client certificate for mutual TLS (PEM).
    #[arg(long, env = "TEMPORAL_TLS_CLIENT_CERT_PATH", value_name = "FILE")]
    pub temporal_tls_cert_path: Option<PathBuf>,

    /// The same as PEM text instead of a file.
    #[arg(
        long,
        env = "TEMPORAL_TLS_CLIENT_CERT_DATA",
        value_name = "PEM",
        hide_env_values = true,
        conflicts_with = "temporal_tls_cert_path"
    )]
    pub temporal_tls_cert_data: Option<String>,

    /// File with the private key of the client certificate (PEM).
    #[arg(long, env = "TEMPORAL_TLS_CLIENT_KEY_PATH", value_name = "FILE")]
    pub temporal_tls_key_path: Option<PathBuf>,

    /// The same as PEM text instead of a file; set it by the environment, not on the command line.
    #[arg(
        long,
        env = "TEMPORAL_TLS_CLIENT_KEY_DATA",
        value_name = "PEM",
        hide_env_values = true,
        conflicts_with = "temporal_tls_key_path"
    )]
    pub temporal_tls_key_data: Option<SecretString>,

    /// Name that the server's certificate must be for, where it differs from the host of the address.
    #[arg(long, env = "TEMPORAL_TLS_SERVER_NAME", value_name = "NAME")]
    pub temporal_tls_server_name: Option<String>,

    /// Directory with the keys that encrypt and decrypt what Temporal stores: one file per key, with the base64 of 32
    /// bytes. The name of the file is the id of the key.
    #[arg(long, env = "STEADFAST_ENCRYPTION_KEYS_PATH", value_name = "DIRECTORY")]
    pub encryption_keys_path: Option<PathBuf>,

    /// Id of the key that encrypts. Without it nothing is encrypted; what is encrypted already is read.
    #[arg(long, env = "STEADFAST_ENCRYPTION_KEY_ID", value_name = "ID")]
    pub encryption_key_id: Option<String>,
}

impl TemporalArgs {
    /// The settings that are no secret, as environment variables for a program that connects like this one.
    /// Certificates and keys are not among them: another pod reads them from its own Secrets.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("TEMPORAL_ADDRESS", self.temporal_address.clone()),
            ("TEMPORAL_NAMESPACE", self.temporal_namespace.clone()),
        ];
        environment.extend(self.temporal_tls.map(|on| ("TEMPORAL_TLS", on.to_string())));
        let server_name = self.temporal_tls_server_name.clone();
        environment.extend(
            server_name
                .filter(|name| !name.is_empty())
                .map(|name| ("TEMPORAL_TLS_SERVER_NAME", name)),
        );
        environment
    }
}

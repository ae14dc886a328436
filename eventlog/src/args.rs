//! Flags and environment variables about Redis.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

/// How to reach Redis; flatten it into a program's arguments.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Redis")]
#[group(skip)]
pub struct RedisArgs {
    /// Redis or Valkey as a URL: redis://HOST:PORT/DB, or rediss:// for TLS. With Sentinel:
    /// redis-sentinel://HOST:PORT,HOST:PORT/DB?sentinelMasterId=NAME, or rediss-sentinel:// for TLS.
    #[arg(
        long,
        env = "REDIS_URL",
        value_name = "URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    pub redis_url: SecretString,

    /// ACL user. Wins over a user in the URL.
    #[arg(long, env = "REDIS_USERNAME", value_name = "NAME")]
    pub redis_username: Option<String>,

    /// Password of the user; set it by the environment, not on the command line. Wins over a password in the URL.
    #[arg(long, env = "REDIS_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub redis_password: Option<SecretString>,

    /// File with the certificates of the authority that signed the server's certificate (PEM).
    /// Default: the public authorities.
    #[arg(long, env = "REDIS_TLS_CA_CERT_PATH", value_name = "FILE")]
    pub redis_tls_ca_path: Option<PathBuf>,

    /// The same as PEM text instead of a file.
    #[arg(
        long,
        env = "REDIS_TLS_CA_CERT_DATA",
        value_name = "PEM",
        hide_env_values = true,
        conflicts_with = "redis_tls_ca_path"
    )]
    pub redis_tls_ca_data: Option<String>,

    /// File with the client certificate for mutual TLS (PEM).
    #[arg(long, env = "REDIS_TLS_CLIENT_CERT_PATH", value_name = "FILE")]
    pub redis_tls_cert_path: Option<PathBuf>,

    /// The same as PEM text instead of a file.
    #[arg(
        long,
        env = "REDIS_TLS_CLIENT_CERT_DATA",
        value_name = "PEM",
        hide_env_values = true,
        conflicts_with = "redis_tls_cert_path"
    )]
    pub redis_tls_cert_data: Option<String>,

    /// File with the private key of the client certificate (PEM).
    #[arg(long, env = "REDIS_TLS_CLIENT_KEY_PATH", value_name = "FILE")]
    pub redis_tls_key_path: Option<PathBuf>,

    /// The same as PEM text instead of a file; set it by the environment, not on the command line.
    #[arg(
        long,
        env = "REDIS_TLS_CLIENT_KEY_DATA",
        value_name = "PEM",
        hide_env_values = true,
        conflicts_with = "redis_tls_key_path"
    )]
    pub redis_tls_key_data: Option<SecretString>,

    /// ACL user at the Sentinels. The user and password of Redis are not sent to them.
    #[arg(long, env = "REDIS_SENTINEL_USERNAME", value_name = "NAME")]
    pub redis_sentinel_username: Option<String>,

    /// Password at the Sentinels; set it by the environment, not on the command line.
    #[arg(
        long,
        env = "REDIS_SENTINEL_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true
    )]
    pub redis_sentinel_password: Option<SecretString>,
}

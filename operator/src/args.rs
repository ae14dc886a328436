//! Command line and environment of the operator. The only place that reads
//! either; everything after works on [`crate::operator::Config`].

use std::{net::SocketAddr, str::FromStr};

use clap::{Parser, ValueEnum};
use steadfast_process::LogFormat;
use steadfast_temporal::TemporalArgs;

use crate::MANAGER;

/// Steadfast's operator: turns Agents into workers.
#[derive(Clone, Debug, Parser)]
#[command(name = "steadfast-operator", version)]
// The address is for workers too, and in a pod no server listens on the default.
#[command(mut_arg("temporal_address", |address| address.required(true).default_value(None)))]
pub struct Args {
    /// Namespace to watch; may be given several times. All namespaces when absent.
    #[arg(long = "namespace", env = "STEADFAST_WATCH_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,

    /// Namespace the operator runs in; holds its Lease and the key of its hashes.
    #[arg(long, env = "STEADFAST_OPERATOR_NAMESPACE", default_value = "steadfast-system")]
    pub operator_namespace: String,

    /// Part of every name that leaves Kubernetes (task queues, stream keys).
    #[arg(long, env = "STEADFAST_INSTALL", value_parser = parse_install)]
    pub install_id: String,

    /// Image of workers whose Agent names none.
    #[arg(long, env = "STEADFAST_WORKER_IMAGE")]
    pub worker_image: String,

    /// When nodes pull worker images.
    #[arg(long, env = "STEADFAST_WORKER_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    pub image_pull_policy: ImagePullPolicy,

    #[command(flatten)]
    pub temporal: TemporalArgs,

    /// Redis that workers write their event log to. Use the secret form when it holds a password.
    #[arg(long, env = "REDIS_URL", required_unless_present = "redis_url_secret")]
    pub redis_url: Option<String>,

    /// The Redis URL as NAME/KEY of a Secret in each Agent's namespace.
    #[arg(long, env = "STEADFAST_REDIS_URL_SECRET", conflicts_with = "redis_url")]
    pub redis_url_secret: Option<SecretKey>,

    /// A further variable of every worker, NAME=VALUE; may be given several times.
    #[arg(long = "worker-env")]
    pub worker_env: Vec<Variable>,

    /// A further variable of every worker, NAME=SECRET/KEY, looked up in each Agent's namespace.
    #[arg(long = "worker-secret-env")]
    pub worker_secret_env: Vec<SecretVariable>,

    /// Whether http tools and webhooks of workers may reach Services of the cluster, true or false.
    #[arg(
        long,
        env = "STEADFAST_ALLOW_CLUSTER_SERVICES",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub allow_cluster_services: bool,

    /// Where workers send traces by OTLP, a URL; no traces when absent.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,

    /// Whether workers write prompts and answers into traces, true or false.
    #[arg(
        long,
        env = "STEADFAST_CAPTURE_CONTENT",
        default_value_t = false,
        action = clap::ArgAction::Set
    )]
    pub capture_content: bool,

    /// Agents reconciled at the same time, at most.
    #[arg(long, env = "STEADFAST_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,

    /// How long changes to one object are collected before it is reconciled, in milliseconds.
    #[arg(long, env = "STEADFAST_DEBOUNCE_MILLISECONDS", default_value_t = 100)]
    pub debounce_milliseconds: u64,

    /// Whether several replicas agree on the one that acts.
    #[arg(long, env = "STEADFAST_LEADER_ELECTION", default_value = "enabled")]
    pub leader_election: LeaderElection,

    /// Who this replica is in the Lease, so that `kubectl get lease` names the pod that acts.
    #[arg(long, env = "STEADFAST_POD_NAME", default_value = MANAGER)]
    pub pod_name: String,

    /// Address of probes and metrics.
    #[arg(long, env = "STEADFAST_ADMIN_ADDRESS", default_value = "0.0.0.0:8081")]
    pub admin_address: SocketAddr,

    /// How log lines look: json or compact.
    #[arg(long, env = "STEADFAST_LOG_FORMAT", default_value_t)]
    pub log_format: LogFormat,

    /// What is logged: a level, or directives such as info,kube=debug.
    #[arg(long, env = "STEADFAST_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// When a node pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImagePullPolicy {
    /// At every start of a container.
    #[value(name = "Always")]
    Always,
    /// When the node has none of that name.
    #[value(name = "IfNotPresent")]
    IfNotPresent,
    /// Never: the image must have been loaded.
    #[value(name = "Never")]
    Never,
}

impl ImagePullPolicy {
    /// The spelling of Kubernetes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Whether a Lease decides who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LeaderElection {
    /// One replica acts, the others wait for the Lease.
    Enabled,
    /// This process acts at once; run no second one.
    Disabled,
}

/// One key of a Secret, written NAME/KEY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// Name of the Secret.
    pub secret: String,
    /// Key below its `data`.
    pub key: String,
}

/// A variable with its value, written NAME=VALUE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Name of the variable.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A variable whose value is in a Secret, written NAME=SECRET/KEY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVariable {
    /// Name of the variable.
    pub name: String,
    /// Where its value is.
    pub source: SecretKey,
}

/// Why an argument cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseArgumentError {
    /// No NAME/KEY.
    #[error("{0:?} is not of the form NAME/KEY")]
    SecretKey(String),
    /// No NAME=VALUE.
    #[error("{0:?} is not of the form NAME=VALUE")]
    Variable(String),
    /// Not usable inside other names.
    #[error("{0:?} is not 1 to 40 lower case letters, digits or '-'")]
    Install(String),
}

impl FromStr for SecretKey {
    type Err = ParseArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((secret, key)) if !secret.is_empty() && !key.is_empty() => Ok(Self {
                secret: secret.to_owned(),
                key: key.to_owned(),
            }),
            _ => Err(ParseArgumentError::SecretKey(text.to_owned())),
        }
    }
}

impl FromStr for Variable {
    type Err = ParseArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(ParseArgumentError::Variable(text.to_owned())),
        }
    }
}

impl FromStr for SecretVariable {
    type Err = ParseArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Variable { name, value } = text.parse()?;
        Ok(Self {
            name,
            source: value.parse()?,
        })
    }
}

fn parse_install(text: &str) -> Result<String, ParseArgumentError> {
    let fits = (1..=40).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(ParseArgumentError::Install(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_redis_url_must_be_given_in_one_form() {
        let base = [
            "steadfast-operator",
            "--install-id",
            "demo",
            "--worker-image",
            "worker:1",
            "--temporal-address",
            "temporal:7233",
        ];
        assert!(Args::try_parse_from(base).is_err());
        let args = Args::try_parse_from(base.into_iter().chain(["--redis-url-secret", "redis/url"])).unwrap();
        assert_eq!(
            args.redis_url_secret,
            Some(SecretKey {
                secret: "redis".to_owned(),
                key: "url".to_owned()
            })
        );
    }

    #[test]
    fn a_secret_variable_names_variable_secret_and_key() {
        assert_eq!(
            "TEMPORAL_API_KEY=temporal/api-key".parse(),
            Ok(SecretVariable {
                name: "TEMPORAL_API_KEY".to_owned(),
                source: SecretKey {
                    secret: "temporal".to_owned(),
                    key: "api-key".to_owned()
                },
            })
        );
        assert_eq!(
            "TEMPORAL_API_KEY=temporal".parse::<SecretVariable>(),
            Err(ParseArgumentError::SecretKey("temporal".to_owned()))
        );
    }
}

//! The settings of all workers of this install.

use std::str::FromStr;

use clap::ValueEnum;

/// The settings of all workers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The install id, a part of every name outside of Kubernetes.
    pub install_id: String,
    /// Worker image of Agents that set none.
    pub worker_image: String,
    /// When nodes pull the worker image.
    pub image_pull_policy: ImagePullPolicy,
    /// Variables of every worker, in this order.
    pub worker_env: Vec<Variable>,
    /// Variables of every worker from Secrets in the worker's namespace.
    pub worker_secret_env: Vec<SecretVariable>,
    /// The keys with which workers encrypt what Temporal stores.
    pub worker_encryption: Option<WorkerEncryption>,
    /// A pod template may name another ServiceAccount, whose permissions the pods have then.
    pub allow_service_account_name: bool,
}

impl Settings {
    /// The names of the variables of every worker.
    pub(crate) fn worker_variables(&self) -> impl Iterator<Item = &str> {
        let plain = self.worker_env.iter().map(|variable| variable.name.as_str());
        plain.chain(self.worker_secret_env.iter().map(|variable| variable.name.as_str()))
    }

    /// The Secrets in each Agent's namespace that every worker needs.
    pub(crate) fn worker_secrets(&self) -> impl Iterator<Item = &String> {
        let of_variables = self.worker_secret_env.iter().map(|variable| &variable.source.secret);
        of_variables.chain(self.worker_encryption.iter().map(|encryption| &encryption.secret))
    }
}

/// The encryption keys of all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerEncryption {
    /// The Secret in each Agent's namespace that holds the keys by id.
    pub secret: String,
    /// Id of the key that encrypts; without it workers only decrypt.
    pub key_id: Option<String>,
}

/// When a node pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImagePullPolicy {
    /// At every start of a container.
    #[value(name = "Always")]
    Always,
    /// If the node does not have the image.
    #[value(name = "IfNotPresent")]
    IfNotPresent,
    /// Never: the node must have the image.
    #[value(name = "Never")]
    Never,
}

impl ImagePullPolicy {
    /// The value in a pod.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// One key of a Secret, written NAME/KEY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// Name of the Secret.
    pub secret: String,
    /// Key below its `data`.
    pub key: String,
}

/// An environment variable, written NAME=VALUE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Name of the variable.
    pub name: String,
    /// Value of the variable.
    pub value: String,
}

/// An environment variable from a Secret, written NAME=SECRET/KEY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVariable {
    /// Name of the variable.
    pub name: String,
    /// The Secret and key of the value.
    pub source: SecretKey,
}

/// Why a setting cannot be parsed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseSettingError {
    /// The text is not NAME/KEY.
    #[error("{0:?} is not of the form NAME/KEY")]
    SecretKey(String),
    /// The text is not NAME=VALUE.
    #[error("{0:?} is not of the form NAME=VALUE")]
    Variable(String),
    /// The text cannot be an install id.
    #[error("{0:?} is not 1 to 40 lower case letters, digits or '-'")]
    InstallId(String),
}

impl FromStr for SecretKey {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((secret, key)) if !secret.is_empty() && !key.is_empty() => Ok(Self {
                secret: secret.to_owned(),
                key: key.to_owned(),
            }),
            _ => Err(ParseSettingError::SecretKey(text.to_owned())),
        }
    }
}

impl FromStr for Variable {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(ParseSettingError::Variable(text.to_owned())),
        }
    }
}

impl FromStr for SecretVariable {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Variable { name, value } = text.parse()?;
        Ok(Self {
            name,
            source: value.parse()?,
        })
    }
}

/// Parses an install id: 1 to 40 lower case letters, digits or '-'.
pub(crate) fn parse_install_id(text: &str) -> Result<String, ParseSettingError> {
    let fits = (1..=40).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(ParseSettingError::InstallId(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_from_a_secret_has_a_name_a_secret_and_a_key() {
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
            Err(ParseSettingError::SecretKey("temporal".to_owned()))
        );
    }
}

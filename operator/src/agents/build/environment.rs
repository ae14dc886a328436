//! The environment of the worker container.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};

use crate::{
    agents::{
        identity::{ADMIN_PORT, OwnerKind, WorkerOwner},
        validate::Workers,
    },
    settings::Settings,
};

/// Where the worker container has its encryption keys.
pub(super) const ENCRYPTION_KEYS_PATH: &str = "/etc/steadfast/encryption-keys";

/// The variables of the worker container: its own, those of the settings, and last the credentials.
pub(super) fn variables(owner: &WorkerOwner, workers: &Workers, settings: &Settings) -> Vec<EnvVar> {
    let name_variable = match owner.kind {
        OwnerKind::Agent => "STEADFAST_AGENT",
        OwnerKind::Pool => "STEADFAST_WORKER_POOL",
    };
    let mut variables = vec![
        plain("STEADFAST_INSTALL", settings.install_id.clone()),
        plain("STEADFAST_NAMESPACE", owner.key.namespace.clone()),
        plain(name_variable, owner.key.name.clone()),
        plain("STEADFAST_TASK_QUEUE", owner.task_queue(&settings.install_id)),
        plain("STEADFAST_ADMIN_ADDRESS", format!("0.0.0.0:{ADMIN_PORT}")),
        plain(
            "STEADFAST_DRAIN_TIMEOUT_SECONDS",
            workers.drain_timeout.whole_seconds().to_string(),
        ),
    ];
    variables.extend(settings.worker_env.iter().map(|v| plain(&v.name, v.value.clone())));
    variables.extend(
        settings
            .worker_secret_env
            .iter()
            .map(|v| from_secret(&v.name, &v.source.secret, &v.source.key)),
    );
    if let Some(encryption) = &settings.worker_encryption {
        variables.push(plain("STEADFAST_ENCRYPTION_KEYS_PATH", ENCRYPTION_KEYS_PATH.to_owned()));
        variables.extend(
            encryption
                .key_id
                .clone()
                .map(|id| plain("STEADFAST_ENCRYPTION_KEY_ID", id)),
        );
    }
    variables.extend(
        workers
            .credentials
            .iter()
            .map(|c| from_secret(&c.env_var_name, &c.secret_name, &c.secret_key)),
    );
    variables
}

fn plain(name: &str, value: String) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    }
}

fn from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

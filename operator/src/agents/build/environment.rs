//! The environment of the worker container.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};

use crate::{
    agents::{
        identity::{ADMIN_PORT, ENCRYPTION_KEYS_PATH, OwnerKind, WorkerOwner},
        validate::Workers,
        worker_variables,
    },
    settings::Settings,
};

/// The variables of the worker container: its own, those of the settings, and last the credentials.
pub(super) fn variables(owner: &WorkerOwner, workers: &Workers, settings: &Settings) -> Vec<EnvVar> {
    let name_variable = match owner.kind {
        OwnerKind::Agent => worker_variables::AGENT,
        OwnerKind::Pool => worker_variables::WORKER_POOL,
    };
    let mut variables = vec![
        plain(worker_variables::INSTALL, settings.install_id.clone()),
        plain(worker_variables::NAMESPACE, owner.key.namespace.clone()),
        plain(name_variable, owner.key.name.clone()),
        plain(worker_variables::TASK_QUEUE, owner.task_queue(&settings.install_id)),
        plain(worker_variables::ADMIN_ADDRESS, format!("0.0.0.0:{ADMIN_PORT}")),
        plain(
            worker_variables::DRAIN_TIMEOUT_SECONDS,
            workers.drain_timeout.whole_seconds().to_string(),
        ),
    ];
    if let Some(build_id) = &workers.build_id {
        variables.push(plain(
            worker_variables::DEPLOYMENT_NAME,
            owner.task_queue(&settings.install_id),
        ));
        variables.push(plain(worker_variables::BUILD_ID, build_id.clone()));
    }
    variables.extend(settings.worker_env.iter().map(|v| plain(&v.name, v.value.clone())));
    variables.extend(
        settings
            .worker_secret_env
            .iter()
            .map(|v| from_secret(&v.name, &v.source.secret, &v.source.key)),
    );
    if let Some(encryption) = &settings.worker_encryption {
        variables.push(plain(
            worker_variables::ENCRYPTION_KEYS_PATH,
            ENCRYPTION_KEYS_PATH.to_owned(),
        ));
        variables.extend(
            encryption
                .key_id
                .clone()
                .map(|id| plain(worker_variables::ENCRYPTION_KEY_ID, id)),
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

#[cfg(test)]
mod tests {
    use steadfast_crds::WorkerPool;

    use super::*;
    use crate::{agents::validate::Workers, settings::WorkerEncryption, stages};

    #[test]
    fn no_variable_is_set_that_a_pod_template_may_set_too() {
        let settings = Settings {
            worker_encryption: Some(WorkerEncryption {
                secret: "keys".to_owned(),
                key_id: Some("one".to_owned()),
            }),
            ..stages::settings("demo")
        };
        let worker = steadfast_crds::worker::WorkerSettings::default();
        let workers = Workers::new(&worker, None, &[], String::new(), &settings);
        let pool = WorkerPool::new("shared", serde_json::from_value(serde_json::json!({})).unwrap());
        let of_pool = WorkerOwner::of_pool(&pool);
        let of_agent = WorkerOwner {
            kind: OwnerKind::Agent,
            ..of_pool.clone()
        };
        for owner in [of_pool, of_agent] {
            for variable in variables(&owner, &workers, &settings) {
                assert!(
                    worker_variables::ALL.contains(&variable.name.as_str()),
                    "{}",
                    variable.name
                );
            }
        }
    }
}

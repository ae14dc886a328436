//! The environment of a container, as a kubelet makes it.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{EnvVar, Secret};
use kube::{Api, Client};

/// Names and values, with those of Secrets.
pub(super) async fn of_container(
    client: &Client,
    namespace: &str,
    variables: &[EnvVar],
) -> anyhow::Result<Vec<(String, String)>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut environment = Vec::new();
    for variable in variables {
        let source = variable.value_from.as_ref();
        let value = match source.and_then(|source| source.secret_key_ref.as_ref()) {
            None => variable.value.clone().unwrap_or_default(),
            Some(key) => {
                let secret = secrets.get(&key.name).await;
                let secret = secret.with_context(|| format!("read the Secret {}", key.name))?;
                let value = secret.data.unwrap_or_default().remove(&key.key);
                let value = value.with_context(|| format!("find {} in the Secret {}", key.key, key.name))?;
                String::from_utf8(value.0).with_context(|| format!("read {} of the Secret {}", key.key, key.name))?
            }
        };
        environment.push((variable.name.clone(), value));
    }
    Ok(environment)
}

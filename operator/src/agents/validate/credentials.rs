//! Checks the credentials of an Agent: their Secrets exist, and every variable
//! that a text refers to is a credential. Pure; of a value only its hash is known.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_crds::{
    Agent,
    agent_revision::RevisionTool,
    conditions::{ConditionType, Reason},
    environment::{is_reserved, referenced_variables},
};

use crate::{
    agents::dereference::Dereferenced,
    kube::namespaced_name::NamespacedName,
    settings::Settings,
    tools::{text_fields, validate},
    validation::ValidationError,
};

/// Checks that every variable that a text refers to is a credential: no other variable of the worker may leave it.
pub(super) fn check_variables(agent: &Agent, tools: &[RevisionTool], errors: &mut Vec<ValidationError>) {
    let provided: BTreeSet<&str> = agent.spec.credentials.iter().map(|c| c.env_var_name.as_str()).collect();
    let model = &agent.spec.model;
    let uses_key = !model.api_key_env_var.is_empty() && model.token_file().is_none();
    let key = uses_key.then(|| model.api_key_env_var.clone());
    let of_model = key
        .into_iter()
        .map(|name| ("model.apiKeyEnvVar (\"\" for no key)".to_owned(), name))
        .chain(
            referenced_variables(&model.base_url)
                .into_iter()
                .map(|name| ("model.baseUrl".to_owned(), name)),
        );
    let of_tools = tools.iter().flat_map(|tool| {
        validate::variables(&tool.spec)
            .into_iter()
            .map(|name| (format!("tool \"{}\"", tool.name), name))
    });
    let of_hooks = agent.spec.hooks.iter().enumerate().flat_map(|(index, hook)| {
        let fields = hook
            .webhook
            .as_ref()
            .map(|webhook| text_fields::of_endpoint("webhook", &webhook.url, &webhook.headers));
        validate::variables_in(&fields.unwrap_or_default())
            .into_iter()
            .map(move |name| (format!("hooks[{index}].webhook"), name))
    });
    for (user, name) in of_model.chain(of_tools).chain(of_hooks) {
        if !provided.contains(name.as_str()) {
            errors.push(ValidationError::new(
                ConditionType::CredentialsResolved,
                Reason::EnvVarNotProvided,
                format!("{user} uses {name}, which no entry of credentials sets"),
            ));
        }
    }
    check_hosts(agent, tools, errors);
    for credential in &agent.spec.credentials {
        if is_reserved(&credential.env_var_name) {
            let message = format!(
                "credentials may not set {}: the name is reserved",
                credential.env_var_name
            );
            errors.push(ValidationError::not_accepted(Reason::ReservedEnvVarName, message));
        }
    }
}

/// Checks that a credential which an argument could lead to another host names its hosts.
fn check_hosts(agent: &Agent, tools: &[RevisionTool], errors: &mut Vec<ValidationError>) {
    for tool in tools {
        let variables = validate::variables_without_fixed_host(&tool.spec);
        let without_hosts = agent
            .spec
            .credentials
            .iter()
            .filter(|credential| credential.hosts.is_empty() && variables.contains(&credential.env_var_name));
        for credential in without_hosts {
            let (tool, variable) = (&tool.name, &credential.env_var_name);
            errors.push(ValidationError::new(
                ConditionType::CredentialsResolved,
                Reason::HostsRequired,
                format!(
                    "tool \"{tool}\" sends {variable} to a host that an argument can change; \
                     list the hosts that may get it in the `hosts` of {variable}, \
                     or end the host in the URL before the first argument"
                ),
            ));
        }
    }
}

/// Checks that every secret value of the environment exists. Returns the hash of each value, by variable.
pub(super) fn check_secrets(
    agent: &Agent,
    key: &NamespacedName,
    dereferenced: &Dereferenced,
    settings: &Settings,
    errors: &mut Vec<ValidationError>,
) -> BTreeMap<String, String> {
    let namespace = &key.namespace;
    let own = agent
        .spec
        .credentials
        .iter()
        .map(|c| (c.env_var_name.as_str(), c.secret_name.as_str(), c.secret_key.as_str()));
    let of_settings = settings
        .worker_secret_env
        .iter()
        .map(|v| (v.name.as_str(), v.source.secret.as_str(), v.source.key.as_str()));
    let encryption = settings.worker_encryption.as_ref();
    let active_key =
        encryption.and_then(|e| Some(("STEADFAST_ENCRYPTION_KEY_ID", e.secret.as_str(), e.key_id.as_deref()?)));
    let required: Vec<(&str, &str, &str)> = own.chain(of_settings).chain(active_key).collect();
    let mut hashes = BTreeMap::new();
    // Workers read the keys that are not active too.
    let encryption_keys = encryption.and_then(|e| dereferenced.secrets.get(&e.secret)?.as_deref());
    for (id, hash) in encryption_keys.into_iter().flatten() {
        hashes.insert(format!("STEADFAST_ENCRYPTION_KEYS_PATH/{id}"), hash.clone());
    }
    let mut missing = BTreeSet::new();
    for &(variable, secret, key) in &required {
        let (reason, message) = match dereferenced.secrets.get(secret).and_then(Option::as_ref) {
            Some(keys) => match keys.get(key) {
                Some(hash) => {
                    hashes.insert(variable.to_owned(), format!("{secret}/{key}={hash}"));
                    continue;
                }
                None => (
                    Reason::SecretKeyNotFound,
                    format!("Secret \"{secret}\" has no key \"{key}\", from which {variable} is read"),
                ),
            },
            None if missing.insert(secret) => {
                let keys: BTreeSet<&str> = required.iter().filter(|w| w.1 == secret).map(|w| w.2).collect();
                let literals: Vec<String> = keys.iter().map(|key| format!("--from-literal={key}=…")).collect();
                let literals = literals.join(" ");
                (
                    Reason::SecretNotFound,
                    format!(
                        "Secret \"{secret}\" does not exist; create it with: kubectl -n {namespace} create secret generic {secret} {literals}"
                    ),
                )
            }
            None => continue,
        };
        errors.push(ValidationError::new(
            ConditionType::CredentialsResolved,
            reason,
            message,
        ));
    }
    hashes
}

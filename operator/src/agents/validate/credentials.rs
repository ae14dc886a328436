//! Checks the credentials of an Agent or of a WorkerPool: their Secrets exist, and every
//! variable that a text of an Agent refers to is a credential. Pure; of a value only its
//! hash is known.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_crds::{
    Agent,
    agent::Credential,
    agent_revision::{RevisionCredential, RevisionTool},
    conditions::{ConditionType, Reason},
    environment::{is_reserved, referenced_variables},
};

use crate::{
    agents::{dereference::Secrets, worker_variables::ENCRYPTION_KEY_ID},
    hashing::secret_value::ValueForm,
    settings::Settings,
    tools::{text_fields, validate},
    validation::ValidationError,
};

/// The credentials that an Agent may use.
#[derive(Debug)]
pub(super) struct Provided<'a> {
    credentials: &'a [Credential],
    /// The WorkerPool that they belong to; `None` for those of the Agent.
    pool: Option<&'a str>,
}

impl<'a> Provided<'a> {
    /// The Agent's own.
    pub(super) fn by_agent(credentials: &'a [Credential]) -> Self {
        Self {
            credentials,
            pool: None,
        }
    }

    /// Those of a WorkerPool.
    pub(super) fn by_pool(pool: &'a str, credentials: &'a [Credential]) -> Self {
        Self {
            credentials,
            pool: Some(pool),
        }
    }

    /// Where people find them.
    fn place(&self) -> String {
        self.pool.map_or_else(
            || "credentials".to_owned(),
            |pool| format!("the credentials of WorkerPool \"{pool}\""),
        )
    }

    /// The credentials for the revision: names and hosts only, a revision contains no Secret and no value. Of a pool only
    /// those that the Agent names: an edit of another one makes no new revision of it.
    fn for_revision(&self, used: &BTreeSet<String>) -> Vec<RevisionCredential> {
        let is_used = |credential: &&Credential| self.pool.is_none() || used.contains(&credential.env_var_name);
        let credentials = self.credentials.iter().filter(is_used);
        credentials
            .map(|credential| RevisionCredential {
                env_var_name: credential.env_var_name.clone(),
                hosts: credential.hosts.clone(),
            })
            .collect()
    }
}

/// Checks that every variable that a text refers to is a credential: no other variable of the worker may leave it.
/// Returns the credentials for the revision.
pub(super) fn check_variables(
    agent: &Agent,
    tools: &[RevisionTool],
    provided: &Provided<'_>,
    errors: &mut Vec<ValidationError>,
) -> Vec<RevisionCredential> {
    let names: BTreeSet<&str> = provided.credentials.iter().map(|c| c.env_var_name.as_str()).collect();
    let mut used = BTreeSet::new();
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
        if !names.contains(name.as_str()) {
            errors.push(ValidationError::new(
                ConditionType::CredentialsResolved,
                Reason::EnvVarNotProvided,
                format!("{user} uses {name}, which no entry of {} sets", provided.place()),
            ));
        }
        used.insert(name);
    }
    check_hosts(provided, tools, errors);
    provided.for_revision(&used)
}

/// Checks that no credential sets a variable of the worker itself.
pub(crate) fn check_names(credentials: &[Credential], errors: &mut Vec<ValidationError>) {
    for credential in credentials {
        if is_reserved(&credential.env_var_name) {
            let message = format!(
                "credentials may not set {}: the name is reserved",
                credential.env_var_name
            );
            errors.push(ValidationError::not_accepted(Reason::ReservedEnvVarName, message));
        }
    }
}

/// Checks that a credential names its hosts where an argument, or the author of the tool in another namespace, could
/// lead it to any other.
fn check_hosts(provided: &Provided<'_>, tools: &[RevisionTool], errors: &mut Vec<ValidationError>) {
    for tool in tools {
        let variables = match &tool.from {
            Some(_) => validate::variables(&tool.spec),
            None => validate::variables_without_fixed_host(&tool.spec),
        };
        let without_hosts = provided
            .credentials
            .iter()
            .filter(|credential| credential.hosts.is_empty() && variables.contains(&credential.env_var_name));
        for credential in without_hosts {
            let (name, variable) = (&tool.name, &credential.env_var_name);
            let message = match &tool.from {
                Some(from) => format!(
                    "tool \"{name}\" of namespace \"{}\" sends {variable} to hosts that its author can change; \
                     list the hosts that may get it in the `hosts` of {variable}",
                    from.namespace
                ),
                None => format!(
                    "tool \"{name}\" sends {variable} to a host that an argument can change; \
                     list the hosts that may get it in the `hosts` of {variable}, \
                     or end the host in the URL before the first argument"
                ),
            };
            errors.push(ValidationError::new(
                ConditionType::CredentialsResolved,
                Reason::HostsRequired,
                message,
            ));
        }
    }
}

/// Checks that every secret value of the environment exists. Returns the hash of each value, by variable.
pub(crate) fn check_secrets(
    credentials: &[Credential],
    namespace: &str,
    secrets: &Secrets,
    settings: &Settings,
    errors: &mut Vec<ValidationError>,
) -> BTreeMap<String, String> {
    let own = credentials
        .iter()
        .map(|c| (c.env_var_name.as_str(), c.secret_name.as_str(), c.secret_key.as_str()));
    let of_settings = settings
        .worker_secret_env
        .iter()
        .map(|v| (v.name.as_str(), v.source.secret.as_str(), v.source.key.as_str()));
    let encryption = settings.worker_encryption.as_ref();
    // Stands for the active key, whose value is a file.
    let active_key = encryption.and_then(|e| Some((ENCRYPTION_KEY_ID, e.secret.as_str(), e.key_id.as_deref()?)));
    let required: Vec<(&str, &str, &str)> = own.chain(of_settings).chain(active_key).collect();
    let mut hashes = BTreeMap::new();
    // Workers read the keys that are not active too.
    let encryption_keys = encryption.and_then(|e| secrets.get(&e.secret)?.as_deref());
    for (id, value) in encryption_keys.into_iter().flatten() {
        hashes.insert(format!("STEADFAST_ENCRYPTION_KEYS_PATH/{id}"), value.hash.clone());
    }
    let mut missing = BTreeSet::new();
    for &(variable, secret, key) in &required {
        let (reason, message) = match secrets.get(secret).and_then(Option::as_ref) {
            Some(keys) => match keys.get(key) {
                Some(value) => {
                    hashes.insert(variable.to_owned(), format!("{secret}/{key}={}", value.hash));
                    let fault = match value.form {
                        // A file, which may hold any bytes.
                        _ if variable == ENCRYPTION_KEY_ID => continue,
                        ValueForm::Text => continue,
                        ValueForm::Empty => "is empty: put the credential there",
                        ValueForm::NotText => {
                            "is not text in UTF-8 without NUL, as an environment variable must be: put the credential there as text"
                        }
                    };
                    (
                        Reason::SecretValueUnusable,
                        format!("key \"{key}\" of Secret \"{secret}\", from which {variable} is read, {fault}"),
                    )
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

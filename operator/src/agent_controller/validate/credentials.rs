//! The credentials of an Agent: which Secrets they come from, who may name
//! them, and the environment they become. Pure; values are known by digest only.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};
use kube::ResourceExt as _;
use steadfast_crds::{
    Agent,
    agent_revision::{RevisionCredential, RevisionTool},
    conditions::{ConditionType, Reason},
    environment::{is_reserved, referenced_variables},
};

use crate::{
    agent_controller::{build::deployment::ADMIN_PORT, dereference::Found, validate::task_queue},
    conditions::Problem,
    settings::Settings,
    tool_rules::{self, texts},
};

/// Every variable that texts name must be a credential: nothing else of the
/// worker's environment may leave it.
pub fn check_variables(agent: &Agent, tools: &[RevisionTool], problems: &mut Vec<Problem>) {
    let provided: BTreeSet<&str> = agent.spec.credentials.iter().map(|c| c.env_var_name.as_str()).collect();
    let model = &agent.spec.model;
    let key = (!model.api_key_env_var.is_empty()).then(|| model.api_key_env_var.clone());
    let of_model = key
        .into_iter()
        .map(|name| ("model.apiKeyEnvVar (\"\" for no key)".to_owned(), name))
        .chain(
            referenced_variables(&model.base_url)
                .into_iter()
                .map(|name| ("model.baseUrl".to_owned(), name)),
        );
    let of_tools = tools.iter().flat_map(|tool| {
        tool_rules::variables(&tool.spec)
            .into_iter()
            .map(|name| (format!("tool \"{}\"", tool.name), name))
    });
    let of_hooks = agent.spec.hooks.iter().enumerate().flat_map(|(index, hook)| {
        let texts = hook
            .webhook
            .as_ref()
            .map(|webhook| texts::of_endpoint("webhook", &webhook.url, &webhook.headers));
        tool_rules::named_variables(&texts.unwrap_or_default())
            .into_iter()
            .map(move |name| (format!("hooks[{index}].webhook"), name))
    });
    for (user, name) in of_model.chain(of_tools).chain(of_hooks) {
        if !provided.contains(name.as_str()) {
            problems.push(Problem::new(
                ConditionType::CredentialsResolved,
                Reason::EnvVarNotProvided,
                format!("{user} uses {name}, which no entry of credentials sets"),
            ));
        }
    }
    for credential in &agent.spec.credentials {
        if is_reserved(&credential.env_var_name) {
            let message = format!(
                "credentials may not set {}: the name is reserved",
                credential.env_var_name
            );
            problems.push(Problem::new(
                ConditionType::Accepted,
                Reason::ReservedEnvVarName,
                message,
            ));
        }
    }
}

/// The digest of each secret value that the environment names, by variable.
pub fn check_secrets(
    agent: &Agent,
    found: &Found,
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let namespace = agent.namespace().unwrap_or_default();
    let own = agent
        .spec
        .credentials
        .iter()
        .map(|c| (c.env_var_name.as_str(), c.secret_name.as_str(), c.secret_key.as_str()));
    let common = settings
        .worker_secret_env
        .iter()
        .map(|v| (v.name.as_str(), v.source.secret.as_str(), v.source.key.as_str()));
    let wanted: Vec<(&str, &str, &str)> = own.chain(common).collect();
    let mut digests = BTreeMap::new();
    let mut missing = BTreeSet::new();
    for &(variable, secret, key) in &wanted {
        let problem = match found.secrets.get(secret).and_then(Option::as_ref) {
            Some(keys) => match keys.get(key) {
                Some(digest) => {
                    digests.insert(variable.to_owned(), format!("{secret}/{key}={digest}"));
                    continue;
                }
                None => (
                    Reason::SecretKeyNotFound,
                    format!("Secret \"{secret}\" has no key \"{key}\", which {variable} is read from"),
                ),
            },
            None if missing.insert(secret) => {
                let keys: BTreeSet<&str> = wanted.iter().filter(|w| w.1 == secret).map(|w| w.2).collect();
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
        problems.push(Problem::new(ConditionType::CredentialsResolved, problem.0, problem.1));
    }
    digests
}

/// What a revision tells of the credentials: never a Secret, never a value.
pub fn names_and_hosts(agent: &Agent) -> Vec<RevisionCredential> {
    let credentials = agent.spec.credentials.iter();
    credentials
        .map(|c| RevisionCredential {
            env_var_name: c.env_var_name.clone(),
            hosts: c.hosts.clone(),
        })
        .collect()
}

/// The environment of the worker container, credentials last.
pub fn environment(agent: &Agent, settings: &Settings) -> Vec<EnvVar> {
    let plain = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    };
    let secret = |name: &str, secret: &str, key: &str| EnvVar {
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
    };
    let worker = &agent.spec.worker;
    let mut environment = vec![
        plain("STEADFAST_INSTALL", settings.install_id.clone()),
        plain("STEADFAST_NAMESPACE", agent.namespace().unwrap_or_default()),
        plain("STEADFAST_AGENT", agent.name_any()),
        plain("STEADFAST_TASK_QUEUE", task_queue(agent, settings)),
        plain("STEADFAST_ADMIN_ADDRESS", format!("0.0.0.0:{ADMIN_PORT}")),
        plain(
            "STEADFAST_DRAIN_TIMEOUT_SECONDS",
            worker.drain_timeout.whole_seconds().to_string(),
        ),
    ];
    environment.extend(settings.worker_env.iter().map(|v| plain(&v.name, v.value.clone())));
    environment.extend(
        settings
            .worker_secret_env
            .iter()
            .map(|v| secret(&v.name, &v.source.secret, &v.source.key)),
    );
    environment.extend(
        agent
            .spec
            .credentials
            .iter()
            .map(|c| secret(&c.env_var_name, &c.secret_name, &c.secret_key)),
    );
    environment
}

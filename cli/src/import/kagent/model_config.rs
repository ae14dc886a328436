//! A `ModelConfig` as the model of an Agent. Pure.

use serde_json::{Value, json};
use steadfast_crds::{
    AgentSpec,
    agent::Credential,
    model::{ModelApi, ReasoningSettings},
};

use super::{super::source::Source, Objects, leave_metadata, variable_name};

/// The name that an Agent without `modelConfig` refers to.
pub(super) const DEFAULT_NAME: &str = "default-model-config";
const ASSUMED_MODEL: &str = "gpt-5-mini";
/// Providers without an API that is compatible with OpenAI's are reached through a gateway such as LiteLLM.
const GATEWAY: &str = "http://litellm:4000/v1";
const NEEDS_GATEWAY: &str = "the provider has no API that is compatible with OpenAI's: a gateway such as LiteLLM holds \
                             this setting";

/// Sets the model of an Agent, and adds the credential of its key.
pub(super) fn apply(objects: &mut Objects, namespace: &str, name: &str, spec: &mut AgentSpec, notes: &mut Vec<String>) {
    let Some(object) = objects.find("ModelConfig", namespace, name) else {
        ASSUMED_MODEL.clone_into(&mut spec.model.name);
        add_credential(spec, "OPENAI_API_KEY", "openai-secret", "api-key");
        notes.push(format!(
            "the ModelConfig {name} is not in these files: the model {ASSUMED_MODEL} of OpenAI and the key api-key of \
             the Secret openai-secret are assumed"
        ));
        return;
    };
    let source = &mut object.source;
    leave_metadata(source);
    spec.model.name = source.take_text("/spec/model", "spec.model.name").unwrap_or_default();
    let provider = source
        .take_text("/spec/provider", "spec.model.api and spec.model.baseUrl")
        .unwrap_or_else(|| "OpenAI".to_owned());
    match provider.as_str() {
        "OpenAI" => openai(source, spec),
        "Anthropic" => anthropic(source, spec),
        "AzureOpenAI" => azure(source, spec),
        "Ollama" => ollama(source, spec),
        "Gemini" => {
            spec.model.api = ModelApi::ChatCompletions;
            "https://generativelanguage.googleapis.com/v1beta/openai".clone_into(&mut spec.model.base_url);
        }
        "Foundry" => foundry(source, spec),
        _ => {
            spec.model.api = ModelApi::ChatCompletions;
            GATEWAY.clone_into(&mut spec.model.base_url);
            object.notes.push(format!(
                "{provider} has no API that is compatible with OpenAI's: run a gateway such as LiteLLM, and set \
                 spec.model.baseUrl to its address ({GATEWAY} is assumed)"
            ));
        }
    }
    key(source, spec, &provider);
    leave_the_rest(source);
}

fn openai(source: &mut Source, spec: &mut AgentSpec) {
    let at = "/spec/openAI";
    if let Some(url) = source.take_text(&format!("{at}/baseUrl"), "spec.model.baseUrl") {
        // Servers that are compatible with OpenAI's API mostly have this one.
        spec.model.api = ModelApi::ChatCompletions;
        spec.model.base_url = url;
    }
    sampling(source, spec, at);
    if let Some(effort) = source.take_text(&format!("{at}/reasoningEffort"), "spec.model.settings.reasoning.effort") {
        spec.model.settings.reasoning = Some(ReasoningSettings {
            effort: Some(effort),
            summary: None,
        });
    }
    if let Some(seconds) = source.peek(&format!("{at}/timeout")).and_then(Value::as_u64)
        && seconds > 0
        && let Ok(timeout) = format!("{seconds}s").parse()
    {
        source.take(&format!("{at}/timeout"), "spec.model.timeouts.call");
        spec.model.timeouts.call = timeout;
    }
    for (field, name) in [
        ("frequencyPenalty", "frequency_penalty"),
        ("presencePenalty", "presence_penalty"),
        ("seed", "seed"),
        ("n", "n"),
    ] {
        let target = format!("spec.model.settings.extraBody.{name}");
        let value: Option<f64> = source.take_parsed(&format!("{at}/{field}"), &target);
        if let Some(value) = value {
            // The Responses API has none of these.
            spec.model.api = ModelApi::ChatCompletions;
            spec.model.settings.extra_body.insert(name.to_owned(), number(value));
        }
    }
    source.leave(
        &format!("{at}/organization"),
        "the key decides: use a key of the organization's project",
    );
    source.leave(
        &format!("{at}/tokenExchange"),
        "a key comes from a Secret; a program that exchanges tokens can write it",
    );
}

fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "only whole numbers are cast")]
    if value.fract() == 0.0 && value.abs() < 1e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

fn anthropic(source: &mut Source, spec: &mut AgentSpec) {
    spec.model.api = ModelApi::ChatCompletions;
    spec.model.base_url = source
        .take_text("/spec/anthropic/baseUrl", "spec.model.baseUrl")
        .map_or_else(|| "https://api.anthropic.com/v1".to_owned(), |url| with_version(&url));
    sampling(source, spec, "/spec/anthropic");
    source.leave(
        "/spec/anthropic/topK",
        "the API that is compatible with OpenAI's has no topK",
    );
}

fn azure(source: &mut Source, spec: &mut AgentSpec) {
    let at = "/spec/azureOpenAI";
    spec.model.api = ModelApi::ChatCompletions;
    if let Some(endpoint) = source.take_text(&format!("{at}/azureEndpoint"), "spec.model.baseUrl") {
        spec.model.base_url = format!("{}/openai/v1", endpoint.trim_end_matches('/'));
    }
    if let Some(deployment) = source.take_text(&format!("{at}/azureDeployment"), "spec.model.name") {
        spec.model.name = deployment;
    }
    sampling(source, spec, at);
    source.leave(&format!("{at}/apiVersion"), "the v1 API of Azure needs no version");
    source.leave(
        &format!("{at}/azureAdToken"),
        "a token in a manifest is no secret, and it expires: use a key in a Secret",
    );
}

fn ollama(source: &mut Source, spec: &mut AgentSpec) {
    spec.model.api = ModelApi::ChatCompletions;
    let host = source
        .take_text("/spec/ollama/host", "spec.model.baseUrl")
        .unwrap_or_else(|| "http://localhost:11434".to_owned());
    let host = if host.contains("://") {
        host
    } else {
        format!("http://{host}")
    };
    spec.model.base_url = with_version(&host);
    source.leave(
        "/spec/ollama/options",
        "Ollama's compatible API takes them from the model: create one with a Modelfile",
    );
}

fn foundry(source: &mut Source, spec: &mut AgentSpec) {
    spec.model.api = ModelApi::ChatCompletions;
    if let Some(endpoint) = source.take_text("/spec/foundry/endpoint", "spec.model.baseUrl") {
        spec.model.base_url = format!("{}/openai/v1", endpoint.trim_end_matches('/'));
    }
    if let Some(deployment) = source.take_text("/spec/foundry/deployment", "spec.model.name") {
        spec.model.name = deployment;
    }
    source.leave("/spec/foundry/apiVersion", "the v1 API of Azure needs no version");
    source.leave(
        "/spec/foundry/endpointFrom",
        "spec.model.baseUrl is a text: write the endpoint into it",
    );
}

fn with_version(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with("/v1") {
        url.to_owned()
    } else {
        format!("{url}/v1")
    }
}

/// What most providers have.
fn sampling(source: &mut Source, spec: &mut AgentSpec, at: &str) {
    let settings = &mut spec.model.settings;
    settings.temperature = source.take_parsed(&format!("{at}/temperature"), "spec.model.settings.temperature");
    settings.top_p = source.take_parsed(&format!("{at}/topP"), "spec.model.settings.topP");
    settings.max_output_tokens = source.take_parsed(&format!("{at}/maxTokens"), "spec.model.settings.maxOutputTokens");
}

fn key(source: &mut Source, spec: &mut AgentSpec, provider: &str) {
    let secret = source.take_text("/spec/apiKeySecret", "spec.credentials[].secretName");
    let key = source.take_text("/spec/apiKeySecretKey", "spec.credentials[].secretKey");
    let variable = match provider {
        "OpenAI" => "OPENAI_API_KEY",
        "Anthropic" => "ANTHROPIC_API_KEY",
        "Gemini" => "GEMINI_API_KEY",
        other => &variable_name(&format!("{other}_api_key")),
    };
    match (secret, key) {
        (Some(secret), Some(key)) if !secret.is_empty() && !key.is_empty() => {
            add_credential(spec, variable, &secret, &key);
        }
        _ => spec.model.api_key_env_var.clear(),
    }
}

fn add_credential(spec: &mut AgentSpec, variable: &str, secret: &str, key: &str) {
    variable.clone_into(&mut spec.model.api_key_env_var);
    spec.credentials.push(Credential {
        env_var_name: variable.to_owned(),
        secret_name: secret.to_owned(),
        secret_key: key.to_owned(),
        hosts: Vec::new(),
    });
}

/// What no Agent has. Sections of other providers than the chosen one stay unread, which is what they are.
fn leave_the_rest(source: &mut Source) {
    source.leave(
        "/spec/apiKeyPassthrough",
        "the token of a client never reaches a model: a run goes on without the client",
    );
    source.leave("/spec/defaultHeaders", "requests to models have no further headers");
    source.leave(
        "/spec/tls",
        "workers trust the certificates of the system: mount others with spec.worker.podTemplate",
    );
    for (section, fields) in [
        (
            "geminiVertexAI",
            &[
                "projectID",
                "location",
                "temperature",
                "topP",
                "topK",
                "stopSequences",
                "maxOutputTokens",
                "candidateCount",
                "responseMimeType",
            ][..],
        ),
        (
            "anthropicVertexAI",
            &[
                "projectID",
                "location",
                "temperature",
                "topP",
                "topK",
                "stopSequences",
                "maxTokens",
            ],
        ),
        (
            "bedrock",
            &["region", "additionalModelRequestFields", "promptCaching", "cacheTTL"],
        ),
        ("sapAICore", &["baseUrl", "resourceGroup", "authUrl"]),
    ] {
        for field in fields {
            source.leave(&format!("/spec/{section}/{field}"), NEEDS_GATEWAY);
        }
    }
}

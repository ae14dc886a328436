use std::{fs, path::Path};

use steadfast_crds::manifests::{parse, read_dir};

use super::*;

const AGENT: &str = "apiVersion: steadfast.dev/v1alpha1
kind: Agent
metadata: {name: weather}
spec:
  instructions: Answer.
  model: {name: gpt-5-mini, apiKeyEnvVar: ''}
";

const TOOL: &str = "apiVersion: steadfast.dev/v1alpha1
kind: AgentTool
metadata: {name: get-weather}
spec:
  description: Tells the weather.
  activity: {name: get_weather, taskQueue: weather}
";

/// One line per diagnostic: `line severity object condition/reason: message`.
async fn lines(text: &str) -> Vec<String> {
    let manifests = parse(Path::new("a.yaml"), text).unwrap();
    let report = lint(&manifests, "default").await.unwrap();
    let lines = report.diagnostics.iter().map(|diagnostic| {
        let condition = diagnostic.condition.map_or("-", ConditionType::as_str);
        format!(
            "{} {:?} {} {condition}/{}: {}",
            diagnostic.origin.line, diagnostic.severity, diagnostic.object.name, diagnostic.reason, diagnostic.message
        )
    });
    lines.collect()
}

#[tokio::test]
async fn an_agent_may_refer_to_everything_in_the_manifests() {
    let text = format!("{AGENT}  tools: [{{tool: get-weather}}]\n---\n{TOOL}");
    assert_eq!(lines(&text).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_missing_has_the_reason_that_the_cluster_gives() {
    let credential = "  credentials: [{envVarName: KEY, secretName: key, secretKey: value}]\n";
    let text = format!("{AGENT}  tools: [{{tool: get-time}}]\n{credential}");
    let lines = lines(&text).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("1 Error weather ReferencesResolved/ToolNotFound: "));
    assert!(lines[1].starts_with("1 Warning weather CredentialsResolved/SecretNotFound: "));
}

#[tokio::test]
async fn a_reference_to_another_namespace_needs_a_grant_there() {
    let agent = format!("{AGENT}  tools: [{{tool: get-weather, namespace: shop}}]\n");
    let tool = TOOL.replace("{name: get-weather}", "{name: get-weather, namespace: shop}");
    let without = lines(&format!("{agent}---\n{tool}")).await;
    assert_eq!(without.len(), 1, "{without:?}");
    let start = "1 Warning weather ReferencesResolved/RefNotPermitted: ";
    assert!(without[0].starts_with(start), "{without:?}");
    let grant = |kind: &str| {
        format!(
            "apiVersion: steadfast.dev/v1alpha1\nkind: AgentReferenceGrant\nmetadata: {{name: g, namespace: shop}}\n\
             spec: {{from: [{{kind: Agent, namespace: default}}], to: [{{kind: {kind}}}]}}\n"
        )
    };
    let with = format!("{agent}---\n{tool}---\n{}", grant("AgentTool"));
    assert_eq!(lines(&with).await, Vec::<String>::new());
    let bad = lines(&grant("Secret")).await;
    assert!(
        bad.iter().any(|line| line.contains("-/Invalid: spec.to[0].kind")),
        "{bad:?}"
    );
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told_with_its_line() {
    assert_eq!(
        lines(&format!("{AGENT}  modelName: 1\n")).await,
        ["7 Error weather -/UnknownField: unknown field \"spec.modelName\""]
    );
    assert_eq!(
        lines(&format!("{TOOL}  timeout: soon\n")).await,
        ["7 Error get-weather -/Invalid: spec.timeout: \"soon\" does not match \"^([0-9]{1,9}(ms|s|m|h))+$\""]
    );
    assert_eq!(
        lines(&format!("{TOOL}  timeout: 0s\n")).await,
        ["7 Error get-weather -/Invalid: spec.timeout: must be longer than 0s and at most 87600h, which is ten years"]
    );
    let both = format!("{AGENT}  instructionsFrom: {{configMapKeyRef: {{name: a, key: b}}}}\n");
    assert_eq!(
        lines(&both).await,
        ["4 Error weather -/Invalid: spec: exactly one of instructions and instructionsFrom must be set"]
    );
    assert_eq!(
        lines(&format!("{AGENT}---\n{AGENT}")).await,
        ["10 Error weather -/Invalid: an object of this kind and name stands above already"]
    );
}

const POOL: &str = "apiVersion: steadfast.dev/v1alpha1
kind: WorkerPool
metadata: {name: shared}
spec:
  credentials: [{envVarName: KEY, secretName: key, secretKey: value}]
";

#[tokio::test]
async fn a_message_does_not_quote_a_long_value() {
    let text = format!("{AGENT}  description: {}\n", "x".repeat(2000));
    let lines = lines(&text).await;
    assert_eq!(
        lines,
        ["7 Error weather -/Invalid: spec.description: the value is longer than 1024 characters"]
    );
}

#[tokio::test]
async fn an_agent_on_a_pool_uses_the_credentials_of_the_pool_and_has_none_of_its_own() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {value: v}\n";
    let on_pool = "  workerPool: {name: shared}\n";
    let with_key = AGENT.replace("apiKeyEnvVar: ''", "apiKeyEnvVar: KEY");
    let with_pool = format!("{with_key}{on_pool}---\n{POOL}---\n{secret}");
    assert_eq!(lines(&with_pool).await, Vec::<String>::new());

    let no_pool = lines(&format!("{AGENT}{on_pool}")).await;
    assert_eq!(
        no_pool,
        [
            "1 Error weather ReferencesResolved/WorkerPoolNotFound: WorkerPool \"shared\" does not exist in the namespace of \
          the Agent"
        ]
    );
    let other_key = with_pool.replace("apiKeyEnvVar: KEY", "apiKeyEnvVar: OTHER");
    assert_eq!(
        lines(&other_key).await,
        [
            "1 Error weather CredentialsResolved/EnvVarNotProvided: model.apiKeyEnvVar (\"\" for no key) uses OTHER, which \
          no entry of the credentials of WorkerPool \"shared\" sets"
        ]
    );
    let own = "  credentials: [{envVarName: MINE, secretName: mine, secretKey: value}]\n";
    let own = lines(&format!("{AGENT}{on_pool}{own}---\n{POOL}---\n{secret}")).await;
    assert_eq!(own.len(), 1, "{own:?}");
    assert!(
        own[0].starts_with("1 Error weather Accepted/CredentialsBelongToPool: "),
        "{own:?}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_pool_is_said_of_the_pool() {
    let missing = lines(POOL).await;
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].starts_with("1 Warning shared CredentialsResolved/SecretNotFound: "));
    let unnamed = "apiVersion: steadfast.dev/v1alpha1
kind: WorkerPool
metadata: {name: shared}
spec: {worker: {podTemplate: {spec: {containers: [{image: x}]}}}}
";
    assert!(lines(unnamed).await[0].starts_with("1 Error shared Accepted/InvalidPodTemplate: "));
    assert_eq!(
        lines(&format!("{POOL}  replicas: 2\n")).await,
        ["6 Error shared -/UnknownField: unknown field \"spec.replicas\""]
    );
}

#[tokio::test]
async fn an_object_that_cannot_be_read_does_not_hide_the_others() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\ndata: {value: 1}\n";
    let lines = lines(&format!("{secret}---\n{TOOL}  timeout: soon\n")).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("1 Error key -/Invalid: "), "{lines:?}");
}

/// Every example can be applied as it is, once its Secret exists.
#[tokio::test]
async fn the_examples_have_no_errors() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut checked = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let report = lint(&read_dir(&path).unwrap(), "default").await.unwrap();
            checked += report.checked;
            let errors: Vec<&Diagnostic> = report
                .diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        }
    }
    assert!(checked > 20, "{checked}");
}

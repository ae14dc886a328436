//! A missing or invalid object is named in a condition; the condition becomes
//! true when the object is mended.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
    events::v1::Event,
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
    core::ApiResource,
};
use serde_json::json;
use steadfast_crds::{Agent, AgentRevision, AgentStatus, AgentTool, conditions::ConditionType};
use steadfast_operator::{args::LeaderElection, conditions::find};
use steadfast_testkit::wait;
use steadfast_watch::RawObject;

use crate::harness::{Cluster, TIMEOUT};

#[tokio::test]
async fn a_missing_secret_is_named_and_nothing_is_deployed_until_it_exists() {
    let (cluster, operator) = Cluster::with_operator("missing-secret").await;
    cluster
        .agent(
            "weather",
            json!({
                "model": { "name": "m" },
                "credentials": [{ "envVarName": "OPENAI_API_KEY", "secretName": "openai", "secretKey": "api-key" }],
            }),
        )
        .await;
    let message = cluster
        .condition("weather", ConditionType::CredentialsResolved, "False", "SecretNotFound")
        .await;
    assert_eq!(
        message,
        "Secret \"openai\" does not exist; create it with: kubectl -n missing-secret create secret generic openai --from-literal=api-key=…"
    );
    cluster
        .condition("weather", ConditionType::Ready, "False", "SecretNotFound")
        .await;
    assert_eq!(cluster.versions::<Deployment>().await, []);

    cluster.secret("openai", json!({ "other": "x" })).await;
    let message = cluster
        .condition(
            "weather",
            ConditionType::CredentialsResolved,
            "False",
            "SecretKeyNotFound",
        )
        .await;
    assert_eq!(
        message,
        "Secret \"openai\" has no key \"api-key\", from which OPENAI_API_KEY is read"
    );
    assert_eq!(cluster.versions::<Deployment>().await, []);

    cluster
        .edit::<Secret>("openai", json!({ "stringData": { "api-key": "sk-1" } }))
        .await;
    cluster
        .condition("weather", ConditionType::CredentialsResolved, "True", "Resolved")
        .await;
    cluster.make_ready("weather").await;

    // The pods keep running; the Agent reports that they could not be started again.
    cluster.delete::<Secret>("openai").await;
    cluster
        .condition("weather", ConditionType::Ready, "False", "SecretNotFound")
        .await;
    cluster.deployment("weather", |_| true).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_missing_tool_is_named_and_heals_when_it_appears() {
    let (cluster, operator) = Cluster::with_operator("missing-tool").await;
    cluster
        .agent("weather", json!({ "tools": [{ "tool": "get-weather" }] }))
        .await;
    let message = cluster
        .condition("weather", ConditionType::ReferencesResolved, "False", "ToolNotFound")
        .await;
    assert_eq!(message, "AgentTool \"get-weather\" does not exist");
    assert_eq!(cluster.versions::<AgentRevision>().await, []);

    cluster.tool("get-weather", json!({})).await;
    cluster
        .condition("weather", ConditionType::ReferencesResolved, "True", "Resolved")
        .await;
    let revision = cluster.revision("weather-1").await;
    let names: Vec<_> = revision.spec.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["get_weather"]);
    operator.stop().await;
}

#[tokio::test]
async fn an_invalid_schema_is_reported_by_the_tool_and_by_its_agents() {
    let (cluster, operator) = Cluster::with_operator("invalid-schema").await;
    cluster
        .tool(
            "get-weather",
            json!({ "parameters": { "properties": { "city": { "type": "text" } } } }),
        )
        .await;
    cluster
        .agent("weather", json!({ "tools": [{ "tool": "get-weather" }] }))
        .await;
    cluster
        .condition("weather", ConditionType::ReferencesResolved, "False", "ToolNotAccepted")
        .await;
    tool_accepted(&cluster, "False", "InvalidSchema").await;

    let mended = json!({ "spec": { "parameters": { "properties": { "city": { "type": "string" } } } } });
    cluster.edit::<AgentTool>("get-weather", mended).await;
    cluster
        .condition("weather", ConditionType::ReferencesResolved, "True", "Resolved")
        .await;
    tool_accepted(&cluster, "True", "Valid").await;
    operator.stop().await;
}

#[tokio::test]
async fn agents_that_refer_to_each_other_resolve_when_both_exist() {
    let (cluster, operator) = Cluster::with_operator("cycle").await;
    cluster
        .agent("triage", json!({ "handoffs": [{ "agent": "billing" }] }))
        .await;
    cluster
        .condition("triage", ConditionType::ReferencesResolved, "False", "AgentNotFound")
        .await;
    cluster
        .agent("billing", json!({ "handoffs": [{ "agent": "triage" }] }))
        .await;
    for name in ["triage", "billing"] {
        cluster
            .condition(name, ConditionType::ReferencesResolved, "True", "Resolved")
            .await;
    }
    operator.stop().await;
}

async fn tool_accepted(cluster: &Cluster, status: &str, reason: &str) {
    let api = cluster.api::<AgentTool>();
    wait::until(
        format!("Accepted={status}"),
        std::time::Duration::from_secs(30),
        || async {
            let conditions = api.get("get-weather").await?.status.unwrap_or_default().conditions;
            let accepted = find(&conditions, ConditionType::Accepted);
            let found = accepted.map(|c| (c.status.as_str(), c.reason.as_str()));
            anyhow::ensure!(found == Some((status, reason)), "it is {found:?}");
            Ok(())
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn an_edit_of_the_config_map_changes_the_instructions() {
    let (cluster, operator) = Cluster::with_operator("config-map").await;
    let mut agent = crate::harness::agent("weather", json!({}));
    let spec = agent["spec"].as_object_mut().unwrap();
    spec.remove("instructions");
    spec.insert(
        "instructionsFrom".to_owned(),
        json!({ "configMapKeyRef": { "name": "prompts", "key": "weather" } }),
    );
    cluster.create::<Agent>(agent).await.unwrap();
    cluster
        .condition(
            "weather",
            ConditionType::ReferencesResolved,
            "False",
            "ConfigMapNotFound",
        )
        .await;

    let prompts = json!({ "metadata": { "name": "prompts" }, "data": { "weather": "First." } });
    cluster.create::<ConfigMap>(prompts).await.unwrap();
    assert_eq!(cluster.revision("weather-1").await.spec.instructions, "First.");
    cluster
        .edit::<ConfigMap>("prompts", json!({ "data": { "weather": "Second." } }))
        .await;
    assert_eq!(cluster.revision("weather-2").await.spec.instructions, "Second.");
    operator.stop().await;
}

#[tokio::test]
async fn a_variable_without_a_credential_is_named() {
    let (cluster, operator) = Cluster::with_operator("variables").await;
    let http = json!({
        "activity": null,
        "http": { "url": "https://example.com", "headers": [{ "name": "Authorization", "value": "Bearer ${env.TOKEN}" }] },
    });
    cluster.tool("search", http).await;
    cluster
        .agent("weather", json!({ "tools": [{ "tool": "search" }] }))
        .await;
    let message = cluster
        .condition(
            "weather",
            ConditionType::CredentialsResolved,
            "False",
            "EnvVarNotProvided",
        )
        .await;
    assert_eq!(
        message,
        "tool \"search\" uses TOKEN, which no entry of credentials sets"
    );
    operator.stop().await;
}

#[tokio::test]
async fn a_revision_over_the_limit_is_refused_with_a_condition() {
    let (cluster, operator) = Cluster::with_operator("too-large").await;
    cluster
        .agent("weather", json!({ "instructions": "a".repeat(1_048_500) }))
        .await;
    cluster
        .condition("weather", ConditionType::Accepted, "False", "RevisionTooLarge")
        .await;
    assert_eq!(cluster.versions::<AgentRevision>().await, []);
    operator.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_nested_too_deeply_hides_no_other_from_an_operator_that_starts() {
    let cluster = Cluster::new("too-deep").await;
    let nested = (0..150).fold(json!({}), |inner, _| json!({ "a": inner }));
    let deep = json!({ "model": { "name": "m", "apiKeyEnvVar": "", "settings": { "extraBody": nested } } });
    let manifest = crate::harness::agent("deep", deep);
    let resource = ApiResource::erase::<Agent>(&());
    let raw: Api<RawObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
    // As SSA and not as a create, so that the managed fields are as deep as the object.
    raw.patch("deep", &PatchParams::apply("test"), &Patch::Apply(&manifest))
        .await
        .unwrap();
    let limits = json!({ "worker": { "resources": { "limits": { "memory": 8_589_934_592_i64 } } } });
    cluster.agent("whole-number", limits).await;

    let operator = cluster.start_operator(LeaderElection::Disabled).await;
    let deployment = cluster.deployment("whole-number", |_| true).await;
    let container = &deployment.spec.unwrap().template.spec.unwrap().containers[0];
    let limits = container.resources.clone().unwrap().limits.unwrap();
    assert_eq!(limits["memory"].0, "8589934592");
    cluster.make_ready("whole-number").await;
    wait::until("the condition of the deep Agent", TIMEOUT, async || {
        let status: WithStatus = raw.get("deep").await?.decode_part()?;
        let accepted = find(&status.status.conditions, ConditionType::Accepted).context("there is no condition")?;
        ensure!(accepted.reason == "Malformed", "it is {accepted:?}");
        ensure!(accepted.message.contains("nested too deeply"), "it is {accepted:?}");
        Ok(())
    })
    .await
    .unwrap();
    operator.stop().await;
}

#[derive(serde::Deserialize)]
struct WithStatus {
    #[serde(default)]
    status: AgentStatus,
}

#[tokio::test]
async fn an_agent_has_one_event_for_each_revision_and_for_each_change_of_ready() {
    let (cluster, operator) = Cluster::with_operator("events").await;
    let credentials = json!([{ "envVarName": "KEY", "secretName": "openai", "secretKey": "api-key" }]);
    cluster.agent("weather", json!({ "credentials": credentials })).await;
    cluster
        .condition("weather", ConditionType::Ready, "False", "SecretNotFound")
        .await;
    // Reconciled again, with nothing to tell.
    cluster
        .edit::<Agent>("weather", json!({ "metadata": { "annotations": { "a": "b" } } }))
        .await;
    cluster.secret("openai", json!({ "api-key": "sk-1" })).await;
    cluster.make_ready("weather").await;
    let edit = json!({ "spec": { "instructions": "Answer in short." } });
    cluster.edit::<Agent>("weather", edit).await;
    cluster.revision("weather-2").await;

    let expected = [
        "AllConditionsMet",
        "RevisionCreated",
        "RevisionCreated",
        "SecretNotFound",
    ];
    wait::until("the last Event", TIMEOUT, async || {
        let events = cluster.api::<Event>().list(&ListParams::default()).await?.items;
        let about = |event: &Event| event.regarding.as_ref().and_then(|object| object.name.clone());
        let told = events.iter().filter(|event| about(event).as_deref() == Some("weather"));
        let mut reasons: Vec<String> = told.clone().filter_map(|event| event.reason.clone()).collect();
        reasons.sort();
        ensure!(reasons == expected, "there are {reasons:?}");
        let repeated: Vec<_> = told.filter(|event| event.series.is_some()).collect();
        ensure!(repeated.is_empty(), "{repeated:?}");
        Ok(())
    })
    .await
    .unwrap();
    operator.stop().await;
}

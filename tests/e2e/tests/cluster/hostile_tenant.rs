//! One tenant's broken and hostile manifests do not disturb the agents of others,
//! also not when operator and gateway start again while the manifests exist.

mod manifests;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
use futures::{
    future::try_join_all,
    stream::{self, StreamExt as _, TryStreamExt as _},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;
use steadfast_e2e::backend::cluster::{
    namespace::Namespace,
    pods::{self, PodState},
};
use steadfast_testkit::{
    bad_manifests::{self, PRIVATE_TEXT},
    install,
    scripted_model::{Reply, ScriptedModel},
    stack::{API_KEY, Client, Task},
    wait,
};

use manifests::{Expected, Manifest};

const GOOD_AGENTS: usize = 12;
/// For the pods of all good agents to start at once.
const START_TIMEOUT: Duration = Duration::from_mins(5);
/// For the last of the manifests to get its condition: some of them start pods first.
const CONDITION_TIMEOUT: Duration = Duration::from_mins(2);
/// Each needs a kubectl.
const APPLIED_AT_ONCE: usize = 6;
const PROGRAMS: [&str; 2] = ["deployment/steadfast-operator", "deployment/steadfast-gateway"];

pub(crate) async fn broken_manifests_of_one_tenant_disturb_nobody_else(good: Namespace) {
    let model = good.model(|_| Reply::text("Yes.")).unwrap();
    let tasks = start_good_agents(&good, &model).await.unwrap();
    complete_turn_of_all(&tasks, 1).await.unwrap();
    let workers = workers(&good).await.unwrap();

    let hostile = Namespace::create_beside(&good, "hostile-tenant").await.unwrap();
    hostile.set_key(API_KEY).await.unwrap();
    let manifests = manifests::all(&hostile);
    let (applied, turns) = tokio::join!(apply_all(&hostile, &manifests), complete_turn_of_all(&tasks, 2));
    applied.unwrap();
    turns.unwrap();
    until_all_are_told(&hostile, &manifests).await;
    assert_nothing_private_is_logged(&good).await.unwrap();

    restart_programs(&good).await.unwrap();
    complete_turn_of_all(&tasks, 3).await.unwrap();
    // The new operator has synced, although the manifests still exist: it carries out an edit.
    good.patch_agent(&name(0), &json!({"instructions": "Prompt B."}))
        .await
        .unwrap();
    until_revision(&good, &name(0), 2).await.unwrap();
    complete_turn_of_all(&tasks, 4).await.unwrap();
    until_all_are_told(&hostile, &manifests).await;
    until_gateway_tells_the_reason(&hostile, "too-deep").await.unwrap();

    assert_eq!(self::workers(&good).await.unwrap(), workers, "a worker was restarted");
    assert!(workers.iter().all(|pod| pod.restarts == 0), "{workers:?}");
    assert_eq!(restarts_of_programs(&good).await.unwrap(), 0);
    assert_nothing_private_is_logged(&good).await.unwrap();
    assert_eq!(model.journal().len(), 4 * GOOD_AGENTS);
    assert_eq!(model.violations(), Vec::<String>::new());
    // The pods of the manifests are not needed any longer.
    hostile.delete().await.unwrap();
}

fn name(number: usize) -> String {
    format!("clerk-{number}")
}

async fn start_good_agents(good: &Namespace, model: &ScriptedModel) -> anyhow::Result<Vec<Task>> {
    good.set_key(API_KEY).await?;
    try_join_all((0..GOOD_AGENTS).map(async |number| {
        let name = name(number);
        good.apply_agent_named(&name, model, json!({})).await?;
        install::wait_for_agent(good.platform(), good.name(), &name, START_TIMEOUT).await
    }))
    .await?;
    let client: Client = good.client(&good.user("alice").await?)?;
    try_join_all((0..GOOD_AGENTS).map(async |number| {
        let name = name(number);
        good.until_agent_visible(&client, &name).await?;
        client.task(&good.public_name(&name)).await
    }))
    .await
}

async fn complete_turn_of_all(tasks: &[Task], number: u32) -> anyhow::Result<()> {
    try_join_all(tasks.iter().map(|task| task.complete_turn(number, "Are you there?")))
        .await
        .map(drop)
}

async fn workers(good: &Namespace) -> anyhow::Result<Vec<PodState>> {
    let pods = try_join_all((0..GOOD_AGENTS).map(async |number| pods::states(good, &name(number)).await)).await?;
    Ok(pods.into_iter().flatten().collect())
}

async fn apply_all(hostile: &Namespace, manifests: &[Manifest]) -> anyhow::Result<()> {
    for mut object in bad_manifests::surroundings() {
        object["metadata"]["namespace"] = hostile.name().into();
        install::apply(hostile.platform(), &object).await?;
    }
    let (foreign, own): (Vec<_>, Vec<_>) = manifests
        .iter()
        .partition(|manifest| matches!(manifest.expected, Expected::Stored));
    // They take the names of objects before the operator does.
    for some in [foreign, own] {
        stream::iter(some)
            .map(|manifest| apply(hostile, manifest))
            .buffer_unordered(APPLIED_AT_ONCE)
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}

async fn apply(hostile: &Namespace, manifest: &Manifest) -> anyhow::Result<()> {
    let applied = install::apply(hostile.platform(), &manifest.object).await;
    match (manifest.expected, applied) {
        (Expected::Refused(reason), Err(error)) => {
            let error = format!("{error:#}");
            // Server-side apply names a field that the schema lacks in words of its own.
            let unknown_field = reason
                .strip_prefix("unknown field \"")
                .and_then(|rest| rest.strip_suffix('"'))
                .map(|field| format!(".{field}: field not declared in schema"));
            ensure!(
                error.contains(reason) || unknown_field.is_some_and(|told| error.contains(&told)),
                "{} is refused with another reason: {error}",
                manifest.name
            );
            Ok(())
        }
        (Expected::Refused(_), Ok(())) => bail!("{} is not refused", manifest.name),
        (_, applied) => applied.with_context(|| format!("apply {}", manifest.name)),
    }
}

async fn until_all_are_told(hostile: &Namespace, manifests: &[Manifest]) {
    wait::until("every manifest to have its condition", CONDITION_TIMEOUT, async || {
        let conditions = conditions(hostile).await?;
        let missing: Vec<String> = manifests
            .iter()
            .filter_map(|manifest| check_told(&conditions, manifest).err())
            .map(|error| format!("{error:#}"))
            .collect();
        ensure!(missing.is_empty(), "{}", missing.join("\n"));
        Ok(())
    })
    .await
    .unwrap();
}

/// The conditions of all Agents, AgentTools and WorkerPools, by kind and name.
async fn conditions(hostile: &Namespace) -> anyhow::Result<BTreeMap<String, Vec<Condition>>> {
    let path = r#"jsonpath={range .items[*]}{.kind} {.metadata.name} {.status.conditions}{"\n"}{end}"#;
    let listed = hostile
        .kubectl(&["get", "agents,agenttools,workerpools", "--output", path])
        .await?;
    let mut conditions = BTreeMap::new();
    for line in listed.lines() {
        let mut words = line.splitn(3, ' ');
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let of_object = words.next().filter(|text| !text.is_empty()).unwrap_or("[]");
        let of_object = serde_json::from_str(of_object).with_context(|| format!("read the conditions of {name}"))?;
        conditions.insert(format!("{}/{name}", kind.to_lowercase()), of_object);
    }
    Ok(conditions)
}

fn check_told(conditions: &BTreeMap<String, Vec<Condition>>, manifest: &Manifest) -> anyhow::Result<()> {
    let Expected::Condition(condition, status, reason) = manifest.expected else {
        return Ok(());
    };
    let object = format!("{}/{}", manifest.kind, manifest.name);
    let of_object = conditions.get(&object);
    let found = of_object.and_then(|all| all.iter().find(|found| found.type_ == condition.as_str()));
    let found = found.with_context(|| format!("{object} has no condition {condition}"))?;
    ensure!(
        found.status == status && found.reason == reason.as_str(),
        "{object} should have {condition}={status}/{reason}, and has {found:?}"
    );
    Ok(())
}

async fn until_revision(good: &Namespace, agent: &str, revision: i64) -> anyhow::Result<()> {
    wait::until(format!("revision {revision}"), CONDITION_TIMEOUT, async || {
        let now = good.status_of(agent).await?.revision;
        ensure!(now == Some(revision), "it is {now:?}");
        Ok(())
    })
    .await
}

/// The gateway knows also an agent that the operator cannot decode.
async fn until_gateway_tells_the_reason(hostile: &Namespace, agent: &str) -> anyhow::Result<()> {
    let client = hostile.client(&hostile.user("mallory").await?)?;
    hostile.until_agent_visible(&client, agent).await?;
    let path = format!("/agents/name/{}", hostile.public_name(agent));
    let shown = client.get(&path).await?.success()?;
    let reason = shown["status_reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("nested too deeply"), "it shows {shown}");
    Ok(())
}

async fn system(namespace: &Namespace, arguments: &[&str]) -> anyhow::Result<String> {
    let arguments = [&["--namespace", install::NAMESPACE], arguments].concat();
    namespace.platform().kubectl(&arguments).await
}

async fn restart_programs(namespace: &Namespace) -> anyhow::Result<()> {
    for program in PROGRAMS {
        system(namespace, &["rollout", "restart", program]).await?;
    }
    for program in PROGRAMS {
        system(namespace, &["rollout", "status", program, "--timeout=120s"]).await?;
    }
    Ok(())
}

async fn restarts_of_programs(namespace: &Namespace) -> anyhow::Result<u32> {
    let path = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    let counts = system(namespace, &["get", "pods", "--output", path]).await?;
    counts.split_whitespace().map(|count| Ok(count.parse::<u32>()?)).sum()
}

async fn assert_nothing_private_is_logged(namespace: &Namespace) -> anyhow::Result<()> {
    for component in ["operator", "gateway"] {
        let selector = format!("--selector=app.kubernetes.io/component={component}");
        let lines = system(namespace, &["logs", "--tail=-1", &selector]).await?;
        let private = lines.lines().find(|line| line.contains(PRIVATE_TEXT));
        ensure!(
            private.is_none(),
            "the {component} logs what agents are told: {private:?}"
        );
    }
    Ok(())
}

//! Schedules: messages at set times.

use anyhow::ensure;
use serde_json::{Value, json};
use steadfast_e2e::backend::cluster::namespace::{AGENT, Namespace, PODS_TIMEOUT};
use steadfast_testkit::{
    install,
    scripted_model::{Reply, ScriptedModel},
    stack::{Client, TIMEOUT},
    wait,
};

pub(crate) async fn a_schedule_creates_a_task_each_time(namespace: Namespace) {
    let model = namespace.model(|_| Reply::text("I am awake.")).unwrap();
    let schedule = json!({"name": "often", "cron": "@every 3s", "message": "Wake up."});
    namespace
        .start_ready_agent(&model, json!({"schedules": [schedule]}))
        .await
        .unwrap();
    let calls = model.until_calls(2, PODS_TIMEOUT).await.unwrap();
    for call in &calls {
        assert_eq!(
            call.request.user_texts(),
            ["Wake up."],
            "each time is a task of its own"
        );
    }
    let status = namespace.status().await.unwrap();
    let synced = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "SchedulesSynced");
    assert_eq!(
        synced.map(|condition| condition.status.as_str()),
        Some("True"),
        "{:?}",
        status.conditions
    );
}

pub(crate) async fn a_schedule_with_a_fixed_task_continues_its_conversation(namespace: Namespace) {
    let model = namespace.model(|_| Reply::text("Noted.")).unwrap();
    let schedule = json!({"name": "often", "cron": "@every 3s", "message": "Wake up.", "task": "Fixed"});
    namespace
        .start_ready_agent(&model, json!({"schedules": [schedule]}))
        .await
        .unwrap();
    until_conversations(&model, 1).await.unwrap();

    let overseer = overseer(&namespace).await.unwrap();
    let tasks = until_tasks(&namespace, &overseer, 1).await.unwrap();
    let first = &tasks[0];
    assert_eq!((&first["name"], &first["status"]), (&json!("often"), &json!("RUNNING")));
    let id = first["id"].as_str().unwrap();
    let messages = overseer.get(&format!("/messages?task_id={id}")).await.unwrap();
    let messages = messages.success().unwrap().to_string();
    assert!(messages.matches("Wake up.").count() >= 2, "{messages}");

    let completed = overseer.post(&format!("/tasks/{id}/complete"), "{}").await.unwrap();
    completed.success().unwrap();
    until_conversations(&model, 2).await.unwrap();
    let tasks = until_tasks(&namespace, &overseer, 2).await.unwrap();
    let statuses: Vec<&Value> = tasks.iter().map(|task| &task["status"]).collect();
    assert_eq!(statuses, ["RUNNING", "COMPLETED"], "{tasks:?}");
}

/// Waits until this many conversations have started, and the last of them has got a second message.
async fn until_conversations(model: &ScriptedModel, count: usize) -> anyhow::Result<()> {
    let what = format!("{count} conversations, the last with two messages");
    wait::until(what, PODS_TIMEOUT, async || {
        let calls = model.journal();
        let messages: Vec<usize> = calls.iter().map(|call| call.request.user_texts().len()).collect();
        let started = messages.iter().filter(|count| **count == 1).count();
        ensure!(
            started == count && messages.last() >= Some(&2),
            "the calls have these numbers of messages: {messages:?}"
        );
        Ok(())
    })
    .await
}

/// A client that may see and end the tasks of all users. The tasks of a schedule have no creator.
async fn overseer(namespace: &Namespace) -> anyhow::Result<Client> {
    let token = namespace.user("olivia").await?;
    let name = json!({"name": "oversee", "namespace": namespace.name()});
    let allowed = json!({"apiGroups": ["steadfast.dev"], "resources": ["agents/alltasks"], "verbs": ["create", "get"]});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": name, "rules": [allowed],
    });
    install::apply(namespace.platform(), &role).await?;
    let account = format!("--serviceaccount={}:olivia", namespace.name());
    namespace
        .kubectl(&["create", "rolebinding", "olivia-oversees", "--role=oversee", &account])
        .await?;
    let client = namespace.client(&token)?;
    namespace.until_visible(&client).await?;
    Ok(client)
}

/// Waits until the agent has this many tasks, and returns them, newest first.
async fn until_tasks(namespace: &Namespace, client: &Client, count: usize) -> anyhow::Result<Vec<Value>> {
    let path = format!("/tasks?agent_name={}", namespace.public_name(AGENT));
    wait::until(format!("{count} tasks"), TIMEOUT, async || {
        let tasks = client.get(&path).await?.success()?;
        let tasks = tasks.as_array().cloned().unwrap_or_default();
        ensure!(tasks.len() == count, "they are {tasks:?}");
        Ok(tasks)
    })
    .await
}

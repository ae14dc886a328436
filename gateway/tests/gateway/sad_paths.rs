//! What a client is told when something is wrong: the table in docs/errors.md, made by the requests themselves.

use std::{convert::Infallible, fmt::Write as _, path::PathBuf};

use axum::{
    body::Body,
    http::{Request, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use steadfast_attachments::limits::MAX_ATTACHMENT_BYTES;
use steadfast_gateway::AgentDirectory;
use steadfast_process::Readiness;
use steadfast_testkit::{Redis, wait};
use tokio_util::sync::CancellationToken;

use super::support::{Answer, TIMEOUT, TestGateway, naming, with_agents, with_redis, without_services};

const BEGIN: &str = "<!-- made by gateway/tests/gateway/sad_paths.rs -->\n";
const END: &str = "<!-- end -->\n";

/// The rows of the table.
#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, case: &str, request: &str, answer: &Answer) {
        let body = &answer.body;
        let message = body["message"].as_str().or(body["error"]["message"].as_str());
        let message = message.or(body["status_reason"].as_str());
        let said = match message {
            Some(message) => message.replace('|', "\\|"),
            None if !answer.status.is_success() => panic!("{case}: {request}: {answer:?}"),
            None => "–".to_owned(),
        };
        let retry = answer
            .headers
            .get("x-should-retry")
            .map(|value| value.to_str().unwrap());
        let repeat = match retry {
            Some("true") => "yes",
            Some(_) => "no",
            None => "–",
        };
        let _ = writeln!(
            self.0,
            "| {case} | {request} | {} | {repeat} | {said} |",
            answer.status.as_u16()
        );
    }
}

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md")
}

/// The page with this table.
fn page_with(table: &Table) -> (String, String) {
    let page = std::fs::read_to_string(page()).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let head =
        "| what is wrong | request | status | repeat | what the client is told |\n| --- | --- | --- | --- | --- |\n";
    let made = format!("{before}{BEGIN}{head}{}{END}{after}", table.0);
    (page, made)
}

async fn table() -> Table {
    let mut table = Table::default();
    away(&mut table).await;
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    refused(&mut table, &gateway).await;
    attachments(&mut table, &gateway).await;
    without_workers(&mut table, &gateway).await;
    ended(&mut table, &gateway).await;
    agent_is_not_ready(&mut table, &redis).await;
    agent_goes(&mut table, &with_redis(&redis).await).await;
    let id = gateway.create_task().await;
    redis.kill().await.unwrap();
    let case = "Redis is away";
    table.row(case, "`event/send`", &send(&gateway, &id, "Hi").await);
    let messages = gateway.get(&format!("/messages?task_id={id}")).await;
    table.row(case, "`GET /messages`", &messages);
    let background = json!({"model": "haiku", "input": "Hi", "background": true});
    let response = post(&gateway, "/v1/responses", &background).await;
    table.row(case, "`POST /v1/responses` with `background`", &response);
    table
}

/// Nothing that the gateway needs answers.
async fn away(table: &mut Table) {
    let gateway = without_services();
    let case = "Temporal is away";
    table.row(case, "`task/create`", &gateway.rpc("task/create", json!({})).await);
    table.row(case, "`GET /tasks/{id}`", &gateway.get("/tasks/t").await);
    let message = json!({"model": "haiku", "input": "Hi"});
    table.row(
        case,
        "`POST /v1/responses`",
        &post(&gateway, "/v1/responses", &message).await,
    );
}

/// Requests that are wrong themselves.
async fn refused(table: &mut Table, gateway: &TestGateway) {
    let id = gateway.create_task().await;
    let long = "x".repeat(1024 * 1024 + 1);
    let case = "a message over 1 MiB";
    table.row(case, "`event/send`", &send(gateway, &id, &long).await);
    let message = json!({"model": "haiku", "input": long, "background": true});
    table.row(
        case,
        "`POST /v1/responses`",
        &post(gateway, "/v1/responses", &message).await,
    );

    let case = "there is no such agent, or no more";
    let nobody = gateway
        .post("/agents/name/nobody/rpc", r#"{"method":"task/create"}"#)
        .await;
    table.row(case, "`task/create`", &nobody);
    let message = json!({"model": "nobody", "input": "Hi"});
    table.row(
        case,
        "`POST /v1/responses`",
        &post(gateway, "/v1/responses", &message).await,
    );

    let case = "an unknown version of the Agents API";
    let request = Request::get("/v1/agents")
        .header("OpenAI-Beta", "agents=v9")
        .body(Body::empty());
    table.row(case, "`GET /v1/agents`", &gateway.send(request.unwrap()).await);
    let case = "a call of the Agents API that is not supported";
    table.row(
        case,
        "`POST /v1/agents`",
        &post(gateway, "/v1/agents", &json!({"name": "a"})).await,
    );
    table.row(
        case,
        "`POST /v1/vaults`",
        &post(gateway, "/v1/vaults", &json!({})).await,
    );
    let session = json!({"agent_id": "haiku", "environment": {"type": "openai_hosted"}});
    table.row(
        case,
        "`POST /v1/agents/sessions`",
        &post(gateway, "/v1/agents/sessions", &session).await,
    );
    let case = "a call of Agentex that is not supported";
    table.row(case, "`GET /spans`", &gateway.get("/spans").await);
}

/// Images and files that are refused.
async fn attachments(table: &mut Table, gateway: &TestGateway) {
    let id = gateway.create_task().await;
    let data = |bytes: &[u8]| format!("data:;base64,{}", BASE64_STANDARD.encode(bytes));
    let large = vec![b'x'; MAX_ATTACHMENT_BYTES + 1];
    let of_responses = async |part: Value| {
        let input = json!([{"role": "user", "content": [part]}]);
        let message = json!({"model": "haiku", "input": input, "background": true});
        post(gateway, "/v1/responses", &message).await
    };
    let of_agentex = async |attachments: Value| {
        let content = json!({"type": "text", "author": "user", "content": "Hi", "attachments": attachments});
        let params = json!({"task_id": id, "content": content});
        gateway.rpc("event/send", params).await
    };
    let upload = format!("/tasks/{id}/attachments?name=a");
    let case = "an attachment over 8 MiB";
    let answer = gateway.post(&upload, large.clone()).await;
    table.row(case, "`POST /tasks/{id}/attachments`", &answer);
    let file = json!({"type": "input_file", "filename": "a.txt", "file_data": data(&large)});
    table.row(case, "`POST /v1/responses`", &of_responses(file).await);
    let case = "an attachment of a kind that is not taken";
    let unknown = [0, 1, 2, 3];
    let answer = gateway.post(&upload, unknown.to_vec()).await;
    table.row(case, "`POST /tasks/{id}/attachments`", &answer);
    let file = json!({"type": "input_file", "filename": "a.bin", "file_data": data(&unknown)});
    table.row(case, "`POST /v1/responses`", &of_responses(file).await);
    let case = "an attachment at a URL that is not https";
    let image = json!({"type": "input_image", "image_url": "http://example.com/a.png"});
    table.row(case, "`POST /v1/responses`", &of_responses(image).await);
    let case = "more than 10 attachments";
    let file = json!({"name": "a.txt", "data": "aGk="});
    table.row(case, "`event/send`", &of_agentex(json!(vec![file; 11])).await);
    let case = "an attachment that was not uploaded";
    let file = json!({"file_id": "0".repeat(64), "name": "a.txt"});
    table.row(case, "`event/send`", &of_agentex(json!([file])).await);
}

/// A task is durable without a worker; what needs one waits.
async fn without_workers(table: &mut Table, gateway: &TestGateway) {
    let case = "no worker runs";
    table.row(case, "`task/create`", &gateway.rpc("task/create", json!({})).await);
    let id = gateway.create_task().await;
    table.row(case, "`event/send`", &send(gateway, &id, "Hi").await);
    let background = json!({"model": "haiku", "input": "Hi", "background": true});
    table.row(
        case,
        "`POST /v1/responses` with `background`",
        &post(gateway, "/v1/responses", &background).await,
    );
    table.row(
        case,
        "`GET /tasks/{id}/query/state`",
        &gateway.get(&format!("/tasks/{id}/query/state")).await,
    );
}

async fn ended(table: &mut Table, gateway: &TestGateway) {
    let case = "the task has ended";
    let id = gateway.create_task().await;
    let ended = gateway.post(&format!("/tasks/{id}/terminate"), "{}").await;
    assert_eq!(ended.body["status"], "TERMINATED", "{ended:?}");
    table.row(case, "`event/send`", &send(gateway, &id, "Hi").await);
    table.row(
        case,
        "`POST /tasks/{id}/cancel`",
        &gateway.post(&format!("/tasks/{id}/cancel"), "{}").await,
    );
    let session = format!("/v1/agents/sessions/sess_{}/events", id.replace('-', ""));
    let message = json!({"type": "agent.session.input.message", "input": "Hi"});
    table.row(
        case,
        "`POST /v1/agents/sessions/{id}/events`",
        &post(gateway, &session, &json!({"events": [message]})).await,
    );
}

/// An API server with one Agent, which is not Ready and never changes.
fn cluster_with_an_agent_that_is_not_ready() -> kube::Client {
    let ready = json!({
        "type": "Ready", "status": "False", "reason": "SecretNotFound", "message": "the Secret openai does not exist",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let agent = json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
        "metadata": {"name": "haiku", "namespace": "default", "resourceVersion": "1"},
        "spec": {"description": "Writes haiku.", "model": {"name": "fake"}},
        "status": {"conditions": [ready]},
    });
    let list = json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentList", "metadata": {"resourceVersion": "1"},
        "items": [agent],
    });
    let answer = move |request: Request<kube::client::Body>| {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let body = if is_watch {
            Body::from_stream(futures::stream::pending::<Result<&[u8], Infallible>>())
        } else {
            Body::from(list.to_string())
        };
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    };
    kube::Client::new(tower::service_fn(answer), "default")
}

/// A task is durable, and goes on when what the Agent lacks is there.
async fn agent_is_not_ready(table: &mut Table, redis: &Redis) {
    let known = Readiness::new().register("agents");
    let client = cluster_with_an_agent_that_is_not_ready();
    let agents = AgentDirectory::of_cluster(naming(), &[], &client, &known, &CancellationToken::new());
    let gateway = with_agents(agents, redis).await;
    let case = "the Agent is not Ready";
    let agent = wait::until("the agent", TIMEOUT, async || {
        let agent = gateway.get("/agents/name/haiku").await;
        anyhow::ensure!(agent.status.is_success(), "{agent:?}");
        Ok(agent)
    });
    let agent = agent.await.unwrap();
    assert_eq!(agent.body["status"], "Unhealthy");
    table.row(case, "`GET /agents/name/{name}`", &agent);
    let created = gateway.rpc("task/create", json!({})).await;
    table.row(case, "`task/create`", &created);
    let id = created.body["result"]["id"].as_str().unwrap();
    table.row(case, "`event/send`", &send(&gateway, id, "Hi").await);
}

/// The agent is there until its tasks have ended, and takes nothing new.
async fn agent_goes(table: &mut Table, gateway: &TestGateway) {
    let case = "the agent is being deleted";
    let id = gateway.create_task().await;
    gateway.begin_deletion_of_agent();
    table.row(case, "`task/create`", &gateway.rpc("task/create", json!({})).await);
    table.row(case, "`event/send`", &send(gateway, &id, "Hi").await);
    let message = json!({"model": "haiku", "input": "Hi"});
    table.row(
        case,
        "`POST /v1/responses`",
        &post(gateway, "/v1/responses", &message).await,
    );
}

async fn send(gateway: &TestGateway, task: &str, text: &str) -> Answer {
    let content = json!({"type": "text", "content": text});
    gateway
        .keyed_rpc("key", "event/send", json!({"task_id": task, "content": content}))
        .await
}

async fn post(gateway: &TestGateway, path: &str, body: &Value) -> Answer {
    gateway.post(path, body.to_string()).await
}

#[tokio::test]
async fn clients_are_told_what_the_table_says() {
    let (page, made) = page_with(&table().await);
    assert!(
        page == made,
        "docs/errors.md differs; write it anew: cargo test -p steadfast-gateway --test gateway write_the_table -- \
         --ignored\n{made}"
    );
}

#[tokio::test]
#[ignore = "writes docs/errors.md"]
async fn write_the_table() {
    let (_, made) = page_with(&table().await);
    std::fs::write(page(), made).unwrap();
}

//! Who may do what, as a real Kubernetes API server says.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use steadfast_gateway::{Access, ApiKeys, KubernetesAccess, Load};
use steadfast_testkit::{ControlPlane, ControlPlaneOptions, NewUser, Redis, wait};
use tokio_util::sync::CancellationToken;

use super::support::{TIMEOUT, TestGateway, guarded, limited};

/// What `group` may do in the namespace `default`.
pub(crate) async fn grant(cluster: &ControlPlane, group: &str, resources: &[&str]) {
    for resource in resources {
        let verbs = match *resource {
            "agents" => "get,list",
            "agents/approvals" => "get,update",
            _ if group == "erasers" => "delete",
            _ => "get,create",
        };
        let name = format!("{group}-{}", resource.replace('/', "-"));
        // Their resources need not exist: a role is but words.
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name, "namespace": "default"},
            "rules": [{"apiGroups": ["steadfast.dev"], "resources": [resource], "verbs": verbs.split(',').collect::<Vec<_>>()}],
        });
        let api: kube::Api<k8s_openapi::api::rbac::v1::Role> = kube::Api::namespaced(cluster.client(), "default");
        api.create(
            &kube::api::PostParams::default(),
            &serde_json::from_value(role).unwrap(),
        )
        .await
        .unwrap();
        cluster
            .kubectl(&[
                "create",
                "rolebinding",
                &name,
                "-n",
                "default",
                &format!("--role={name}"),
                &format!("--group={group}"),
            ])
            .await
            .unwrap();
    }
}

fn names(agents: &Value) -> Vec<&str> {
    agents
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| agent["name"].as_str().unwrap())
        .collect()
}

async fn create_task(gateway: &TestGateway, token: &str) -> String {
    let answer = gateway.rpc_as(token, "haiku", "task/create", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body["result"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of callers and requests")]
async fn callers_may_do_what_kubernetes_lets_them() {
    steadfast_process::crypto::install();
    let users = vec![
        NewUser::new("alice", &["writers"]),
        NewUser::new("bob", &["writers"]),
        NewUser::new("carol", &["strangers"]),
        NewUser::new("dora", &["writers", "auditors"]),
    ];
    let cluster = ControlPlane::start_with(ControlPlaneOptions { users }).await.unwrap();
    grant(&cluster, "writers", &["agents", "agents/tasks"]).await;
    grant(&cluster, "auditors", &["agents/alltasks"]).await;
    let redis = Redis::start().await.unwrap();
    let access = KubernetesAccess::new(cluster.client(), Vec::new());
    let gateway = guarded(Access::Kubernetes(Box::new(access)), &redis).await;
    let token = async |name: &str| cluster.user(name).await.unwrap().token;
    let (alice, bob, carol, dora) = (
        token("alice").await,
        token("bob").await,
        token("carol").await,
        token("dora").await,
    );

    // Nobody gets in without a valid token.
    assert_eq!(gateway.get("/agents").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        gateway.get_as("forged", "/agents").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(gateway.get("/healthz").await.status, StatusCode::OK);

    // Agents are seen by namespace.
    assert_eq!(names(&gateway.get_as(&alice, "/agents").await.body), ["haiku"]);
    assert_eq!(names(&gateway.get_as(&carol, "/agents").await.body), [""; 0]);
    assert_eq!(
        gateway.get_as(&alice, "/agents/name/poets.haiku").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        gateway.get_as(&carol, "/agents/name/haiku").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        gateway.rpc_as(&carol, "haiku", "task/create", json!({})).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        gateway
            .rpc_as(&alice, "poets.haiku", "task/create", json!({}))
            .await
            .status,
        StatusCode::NOT_FOUND
    );

    // A task is its creator's, and of those who may see all.
    let id = create_task(&gateway, &alice).await;
    let path = format!("/tasks/{id}");
    let hello = json!({"task_id": id, "content": {"type": "text", "author": "user", "content": "Hello"}});
    for (token, status) in [
        (&alice, StatusCode::OK),
        (&bob, StatusCode::NOT_FOUND),
        (&carol, StatusCode::NOT_FOUND),
        (&dora, StatusCode::OK),
    ] {
        assert_eq!(gateway.get_as(token, &path).await.status, status);
        assert_eq!(
            gateway.get_as(token, &format!("/messages?task_id={id}")).await.status,
            status
        );
        assert_eq!(
            gateway.rpc_as(token, "haiku", "event/send", hello.clone()).await.status,
            status
        );
    }
    let unknown = gateway.get_as(&bob, "/tasks/nope").await;
    let forbidden = gateway.get_as(&bob, &path).await;
    assert_eq!((unknown.status, unknown.body), (forbidden.status, forbidden.body));

    // A name belongs to its creator: it tells nothing of the tasks of others, and nobody takes it first.
    let named = async |token: &str| {
        let answer = gateway
            .rpc_as(token, "haiku", "task/create", json!({"name": "monday"}))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["result"]["id"].clone()
    };
    let of_each = [named(&alice).await, named(&bob).await, named(&dora).await];
    assert!(
        of_each[0] != of_each[1] && of_each[1] != of_each[2] && of_each[0] != of_each[2],
        "{of_each:?}"
    );
    for (token, id) in [&alice, &bob, &dora].into_iter().zip(&of_each) {
        assert_eq!(named(token).await, *id);
        assert_eq!(gateway.get_as(token, "/tasks/name/monday").await.body["id"], *id);
    }

    // Decoding payloads needs the permission in all namespaces.
    let payloads = json!({"payloads": []});
    let decode = async |token: &str| gateway.post_as(token, "/codec/decode", &payloads).await.status;
    assert_eq!(decode("forged").await, StatusCode::UNAUTHORIZED);
    assert_eq!(decode(&dora).await, StatusCode::FORBIDDEN);
    let role: k8s_openapi::api::rbac::v1::ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": "all-tasks"},
        "rules": [{"apiGroups": ["steadfast.dev"], "resources": ["agents/alltasks"], "verbs": ["get"]}],
    }))
    .unwrap();
    let roles = kube::Api::all(cluster.client());
    roles.create(&kube::api::PostParams::default(), &role).await.unwrap();
    let bind = [
        "create",
        "clusterrolebinding",
        "all-tasks",
        "--clusterrole=all-tasks",
        "--group=strangers",
    ];
    cluster.kubectl(&bind).await.unwrap();
    assert_eq!(decode(&carol).await, StatusCode::OK);

    // Without the API server what was decided holds for a while, and nothing new is let in.
    cluster.apiserver().freeze().unwrap();
    assert_eq!(gateway.get_as(&alice, &path).await.status, StatusCode::OK);
    let answer = gateway.get_as("another", &path).await;
    assert_eq!(
        (answer.status, &answer.body["data"]["missing"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("the Kubernetes API server"))
    );
    cluster.apiserver().thaw().unwrap();
}

/// The API server permits a list and a watch of one name to whoever may read that name alone, and a review within a
/// namespace to whoever has a Role there.
#[tokio::test]
async fn api_keys_need_no_cluster_role_and_without_one_tokens_of_the_cluster_are_refused() {
    const KEY: &str = "sfk_ci";
    steadfast_process::crypto::install();
    let users = vec![NewUser::new("gateway", &["gateways"])];
    let cluster = ControlPlane::start_with(ControlPlaneOptions { users }).await.unwrap();
    grant(&cluster, "writers", &["agents", "agents/tasks"]).await;
    let kubectl = async |arguments: &[&str]| cluster.kubectl(arguments).await.unwrap();
    let role = [
        "create",
        "role",
        "keys",
        "--verb=get,list,watch",
        "--resource=secrets",
        "--resource-name=keys",
    ];
    kubectl(&role).await;
    kubectl(&["create", "rolebinding", "keys", "--role=keys", "--group=gateways"]).await;
    let reviews = "--resource=localsubjectaccessreviews.authorization.k8s.io";
    kubectl(&["create", "role", "reviews", "--verb=create", reviews]).await;
    kubectl(&["create", "rolebinding", "reviews", "--role=reviews", "--group=gateways"]).await;

    let kubeconfig = cluster.kubeconfig_of(&cluster.user("gateway").await.unwrap()).unwrap();
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await;
    let client = kube::Client::try_from(config.unwrap()).unwrap();
    let stop = CancellationToken::new();
    let keys = ApiKeys::watch(&client, "default", &["keys".to_owned()], || {}, &stop);
    let access = KubernetesAccess::new(client.clone(), Vec::new()).with_api_keys(keys);
    let gateway = limited(Access::Kubernetes(Box::new(access)), Load::default());
    let becomes = async |status: StatusCode| {
        wait::until(format!("the key is answered with {status}"), TIMEOUT, async || {
            let answer = gateway.get_as(KEY, "/agents/name/haiku").await;
            anyhow::ensure!(answer.status == status, "{answer:?}");
            Ok(())
        })
        .await
        .unwrap();
    };

    // There is no such Secret yet.
    becomes(StatusCode::UNAUTHORIZED).await;
    let digits = format!("{:x}", Sha256::digest(KEY));
    let entry = json!({"user": "ci", "groups": ["writers"], "sha256": digits}).to_string();
    kubectl(&[
        "create",
        "secret",
        "generic",
        "keys",
        &format!("--from-literal=ci-1={entry}"),
    ])
    .await;
    becomes(StatusCode::OK).await;
    let agents_of_poets = gateway.get_as(KEY, "/agents/name/poets.haiku").await;
    assert_eq!(
        (agents_of_poets.status, &agents_of_poets.body["data"]["missing"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("the Kubernetes API server")),
        "there the gateway has no Role"
    );
    let token = cluster.user("gateway").await.unwrap().token;
    let refused = gateway.get_as(&token, "/agents/name/haiku").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.body.to_string().contains("use an API key"), "{refused:?}");
    kubectl(&["delete", "secret", "keys"]).await;
    becomes(StatusCode::UNAUTHORIZED).await;
    stop.cancel();
}

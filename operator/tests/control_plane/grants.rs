//! References to other namespaces: refused without an AgentReferenceGrant, resolved with one, and taken back with it.

use kube::{
    Api,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentReferenceGrant, AgentRevision, AgentTool, conditions::ConditionType};
use steadfast_operator::{args::LeaderElection, kube::watch::WatchScope};

use crate::harness::{Cluster, Operator, agent};

impl Cluster {
    /// Grants what `to` says to the Agents of a namespace.
    async fn grant(&self, name: &str, from: &str, to: Value) -> Result<AgentReferenceGrant, kube::Error> {
        self.create(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentReferenceGrant", "metadata": { "name": name },
            "spec": { "from": [{ "kind": "Agent", "namespace": from }], "to": to },
        }))
        .await
    }
}

/// Two namespaces, and an operator that watches both and has rights in no others.
async fn two_namespaces(team: &str, shop: &str) -> (Cluster, Cluster, Operator) {
    let (team, shop) = (Cluster::new(team).await, Cluster::new(shop).await);
    let scopes = [&team, &shop].map(|cluster| WatchScope::Namespace(cluster.namespace.clone()));
    let operator = team.start_operator_of(LeaderElection::Disabled, scopes.into()).await;
    (team, shop, operator)
}

async fn references_resolved(cluster: &Cluster, agent: &str, reason: &str) -> String {
    let status = if reason == "Resolved" { "True" } else { "False" };
    cluster
        .condition(agent, ConditionType::ReferencesResolved, status, reason)
        .await
}

fn tool_names(revision: &AgentRevision) -> Vec<&str> {
    revision.spec.tools.iter().map(|tool| tool.name.as_str()).collect()
}

#[tokio::test]
async fn a_tool_of_another_namespace_is_used_while_a_grant_permits_it() {
    let (team, shop, operator) = two_namespaces("grant-team", "grant-shop").await;
    shop.tool("refund", json!({})).await;
    team.tool("weather", json!({})).await;
    let tools = json!([{ "tool": "weather" }, { "tool": "refund", "namespace": "grant-shop" }]);
    team.agent("buyer", json!({ "tools": tools })).await;
    let message = references_resolved(&team, "buyer", "RefNotPermitted").await;
    assert_eq!(
        message,
        "AgentTool \"grant-shop/refund\": namespace \"grant-shop\" needs an AgentReferenceGrant with \
         from {kind: Agent, namespace: grant-team} and to {kind: AgentTool, name: refund}"
    );
    assert!(team.api::<AgentRevision>().get_opt("buyer-1").await.unwrap().is_none());

    let to = json!([{ "kind": "AgentTool", "name": "refund" }]);
    shop.grant("team", "grant-team", to.clone()).await.unwrap();
    references_resolved(&team, "buyer", "Resolved").await;
    let revision = team.revision("buyer-1").await;
    let from = revision.spec.tools[1].from.as_ref().unwrap();
    assert_eq!((from.namespace.as_str(), from.name.as_str()), ("grant-shop", "refund"));

    // An edit of the tool reaches the Agents in the other namespace too.
    shop.edit::<AgentTool>("refund", json!({ "spec": { "description": "Pays back." } }))
        .await;
    let revision = team.revision("buyer-2").await;
    assert_eq!(revision.spec.tools[1].spec.description, "Pays back.");

    shop.delete::<AgentReferenceGrant>("team").await;
    references_resolved(&team, "buyer", "RefNotPermitted").await;
    assert_eq!(tool_names(&team.revision("buyer-3").await), ["weather"]);

    shop.grant("again", "grant-team", to).await.unwrap();
    references_resolved(&team, "buyer", "Resolved").await;
    assert_eq!(tool_names(&team.revision("buyer-4").await), ["weather", "refund"]);
    operator.stop().await;
}

#[tokio::test]
async fn what_a_grant_gave_is_taken_back_although_the_agent_is_broken_otherwise() {
    let (team, shop, operator) = two_namespaces("grant-broken", "grant-broken-shop").await;
    shop.tool("refund", json!({})).await;
    shop.tool("invoice", json!({})).await;
    shop.grant("all", "grant-broken", json!([{ "kind": "AgentTool" }]))
        .await
        .unwrap();
    let foreign = |tool: &str| json!({ "tool": tool, "namespace": "grant-broken-shop" });
    let tools = json!([foreign("refund"), foreign("invoice")]);
    team.agent("buyer", json!({ "tools": tools })).await;
    assert_eq!(tool_names(&team.revision("buyer-1").await), ["refund", "invoice"]);

    // An edit that removes a reference and breaks the Agent keeps nothing of it.
    let broken = json!({ "spec": { "instructions": "{{ nope", "tools": [foreign("invoice")] } });
    team.edit::<Agent>("buyer", broken).await;
    assert_eq!(tool_names(&team.revision("buyer-2").await), ["invoice"]);
    shop.delete::<AgentReferenceGrant>("all").await;
    assert_eq!(tool_names(&team.revision("buyer-3").await), [""; 0]);
    let accepted = ConditionType::Accepted;
    team.condition("buyer", accepted, "False", "InvalidTemplate").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_grant_for_a_name_opens_nothing_else() {
    let (team, shop, operator) = two_namespaces("grant-name", "grant-name-shop").await;
    shop.tool("refund", json!({})).await;
    shop.tool("invoice", json!({})).await;
    shop.agent("refund", json!({})).await;
    let to = json!([{ "kind": "AgentTool", "name": "refund" }]);
    shop.grant("refund", "grant-name", to).await.unwrap();
    let foreign = |kind: &str, name: &str| json!({ (kind): name, "namespace": "grant-name-shop" });
    for (agent, entry, refused) in [
        ("permitted", foreign("tool", "refund"), None),
        (
            "other-name",
            foreign("tool", "invoice"),
            Some("AgentTool \"grant-name-shop/invoice\""),
        ),
        (
            "other-kind",
            foreign("agent", "refund"),
            Some("Agent \"grant-name-shop/refund\""),
        ),
    ] {
        team.agent(agent, json!({ "tools": [entry] })).await;
        let reason = refused.map_or("Resolved", |_| "RefNotPermitted");
        let message = references_resolved(&team, agent, reason).await;
        assert!(refused.is_none_or(|start| message.starts_with(start)), "{message}");
    }
    // A grant is for the namespace that it names.
    let elsewhere = json!({ "tools": [{ "tool": "refund", "namespace": "grant-name" }] });
    shop.agent("elsewhere", elsewhere).await;
    references_resolved(&shop, "elsewhere", "RefNotPermitted").await;
    operator.stop().await;
}

#[tokio::test]
async fn an_agent_learns_nothing_of_what_it_may_not_refer_to() {
    let (team, shop, operator) = two_namespaces("grant-hostile", "grant-secretive").await;
    shop.tool("there", json!({})).await;
    shop.agent("there", json!({ "description": "Confidential." })).await;
    shop.create::<AgentTool>(json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentTool", "metadata": { "name": "broken" },
        "spec": { "description": "d", "activity": { "name": "load_revision" } },
    }))
    .await
    .unwrap();
    let mut seen = Vec::new();
    for (agent, target, namespace) in [
        ("a", "there", "grant-secretive"),
        ("b", "gone", "grant-secretive"),
        ("c", "broken", "grant-secretive"),
    ] {
        let spec = json!({
            "tools": [
                { "tool": target, "namespace": namespace },
                { "agent": target, "namespace": namespace },
            ],
            "handoffs": [{ "agent": target, "namespace": namespace }],
            "guardrails": { "input": [{ "name": "judge", "agent": target, "namespace": namespace }] },
        });
        team.agent(agent, spec).await;
        references_resolved(&team, agent, "RefNotPermitted").await;
        let status = team.api::<Agent>().get(agent).await.unwrap().status.unwrap();
        let conditions = status.conditions.into_iter();
        let told: Vec<_> = conditions
            .map(|condition| {
                (
                    condition.type_,
                    condition.reason,
                    condition.message.replace(target, "NAME"),
                )
            })
            .collect();
        // The end of a long message is cut, and the names have different lengths.
        let told: Vec<_> = told
            .into_iter()
            .map(|(kind, reason, message)| (kind, reason, message.chars().take(100).collect::<String>()))
            .collect();
        seen.push(told);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    operator.stop().await;
}

#[tokio::test]
async fn agents_of_another_namespace_are_tools_handoffs_and_judges_with_a_grant() {
    let (team, shop, operator) = two_namespaces("grant-agents", "grant-agents-shop").await;
    team.agent("desk", json!({})).await;
    shop.agent("desk", json!({ "description": "Knows the stock." })).await;
    shop.grant("desk", "grant-agents", json!([{ "kind": "Agent", "name": "desk" }]))
        .await
        .unwrap();
    let references = |namespace: Option<&str>| {
        let judge = json!([{ "name": "judge", "agent": "desk", "namespace": namespace }]);
        json!({
            "tools": [{ "agent": "desk", "namespace": namespace }],
            "handoffs": [{ "agent": "desk", "namespace": namespace }],
            "guardrails": { "input": judge, "output": judge },
        })
    };
    team.agent("buyer", references(None)).await;
    let own = team.revision("buyer-1").await.spec;
    assert_eq!((&own.agents[0].namespace, &own.handoffs[0].namespace), (&None, &None));
    assert_eq!(own.judges.keys().collect::<Vec<_>>(), ["desk"]);

    let namespace = "grant-agents-shop";
    let edited = json!({ "spec": references(Some(namespace)) });
    team.edit::<Agent>("buyer", edited).await;
    let spec = team.revision("buyer-2").await.spec;
    let checks = spec.guardrails.input.iter().chain(&spec.guardrails.output);
    assert!(checks.map(|check| check.namespace.as_deref()).eq([Some(namespace); 2]));
    let queue = "test/grant-agents-shop/agent/desk";
    let (asked, handoff) = (&spec.agents[0], &spec.handoffs[0]);
    for (own, task_queue) in [
        (&asked.namespace, &asked.task_queue),
        (&handoff.namespace, &handoff.task_queue),
    ] {
        assert_eq!((own.as_deref(), task_queue.as_str()), (Some(namespace), queue));
    }
    assert_eq!(asked.description, "Knows the stock.");
    assert_eq!(spec.judges["grant-agents-shop/desk"], queue);

    shop.edit::<Agent>("desk", json!({ "spec": { "description": "Sells." } }))
        .await;
    assert_eq!(team.revision("buyer-3").await.spec.agents[0].description, "Sells.");
    // Once permitted, what is missing is said.
    shop.delete::<Agent>("desk").await;
    references_resolved(&team, "buyer", "AgentNotFound").await;
    operator.stop().await;
}

#[tokio::test]
async fn credentials_for_a_tool_of_another_namespace_name_their_hosts() {
    let (team, shop, operator) = two_namespaces("grant-hosts", "grant-hosts-shop").await;
    let http = json!({
        "url": "https://shop.example.com/stock",
        "headers": [{ "name": "Authorization", "value": "Bearer ${env.SHOP_TOKEN}" }],
    });
    shop.tool("stock", json!({ "activity": null, "http": http })).await;
    shop.grant("stock", "grant-hosts", json!([{ "kind": "AgentTool" }]))
        .await
        .unwrap();
    team.secret("shop", json!({ "token": "t" })).await;
    let credential = json!({ "envVarName": "SHOP_TOKEN", "secretName": "shop", "secretKey": "token" });
    let tools = json!([{ "tool": "stock", "namespace": "grant-hosts-shop" }]);
    team.agent("buyer", json!({ "tools": tools, "credentials": [credential] }))
        .await;
    let resolved = ConditionType::CredentialsResolved;
    let message = team.condition("buyer", resolved, "False", "HostsRequired").await;
    assert!(message.contains("its author can change"), "{message}");
    let mut with_hosts = credential.clone();
    with_hosts["hosts"] = json!(["shop.example.com"]);
    team.edit::<Agent>("buyer", json!({ "spec": { "credentials": [with_hosts] } }))
        .await;
    team.condition("buyer", resolved, "True", "Resolved").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_namespace_that_the_operator_does_not_watch_is_named() {
    let unwatched = Cluster::new("grant-unwatched").await;
    unwatched.tool("refund", json!({})).await;
    unwatched
        .grant("all", "grant-alone", json!([{ "kind": "AgentTool" }]))
        .await
        .unwrap();
    let (team, operator) = Cluster::with_operator("grant-alone").await;
    let tools = json!([{ "tool": "refund", "namespace": "grant-unwatched" }]);
    team.agent("buyer", json!({ "tools": tools })).await;
    let message = references_resolved(&team, "buyer", "NamespaceNotWatched").await;
    assert_eq!(
        message,
        "AgentTool \"grant-unwatched/refund\": the operator does not watch namespace \"grant-unwatched\""
    );
    operator.stop().await;
}

#[tokio::test]
async fn the_api_server_takes_grants_for_agents_and_tools_only() {
    let cluster = Cluster::new("grant-admission").await;
    let kind = ApiResource::erase::<AgentReferenceGrant>(&());
    let untyped: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &kind);
    for to in [
        json!([{ "kind": "Agent" }]),
        json!([{ "group": "steadfast.dev", "kind": "AgentTool", "name": "refund" }]),
    ] {
        cluster.grant("ok", "team-a", to).await.unwrap();
        cluster.delete::<AgentReferenceGrant>("ok").await;
    }
    let rail = json!({ "name": "g", "cel": "true", "namespace": "shop" });
    let with_rail = agent("bad", json!({ "guardrails": { "input": [rail] } }));
    let refused = cluster.create::<Agent>(with_rail).await.unwrap_err().to_string();
    assert!(refused.contains("namespace is for an agent"), "{refused}");
    let grant = |from: &str, to: Value| {
        json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentReferenceGrant", "metadata": { "name": "bad" },
            "spec": { "from": [{ "kind": "Agent", "namespace": from }], "to": to },
        })
    };
    for bad in [
        grant("team-a", json!([{ "kind": "Secret" }])),
        grant("team-a", json!([{ "kind": "ConfigMap" }])),
        grant("team-a", json!([])),
        grant("*", json!([{ "kind": "Agent" }])),
        grant("", json!([{ "kind": "Agent" }])),
    ] {
        let object: DynamicObject = serde_json::from_value(bad.clone()).unwrap();
        match untyped.create(&PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.code == 422 => {}
            other => panic!("{bad} is not refused: {other:?}"),
        }
    }
}

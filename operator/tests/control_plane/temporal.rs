//! The operator as a program with a real Temporal: a frontend behind mutual TLS, schedules of another cluster, and a
//! tenant beside another.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use steadfast_crds::conditions::ConditionType;
use steadfast_testkit::{
    CertificateAuthority, ClientCertificates, Temporal, TemporalOptions, TlsProxy,
    process::{Launch, Lifetime, Service},
    wait,
};

use crate::harness::{Cluster, TIMEOUT, template};

/// An operator as a program, for one namespace.
pub(crate) fn operator(cluster: &Cluster, temporal: impl std::fmt::Display) -> Launch {
    operator_with(cluster, temporal, "redis://redis:6379")
}

fn operator_with(cluster: &Cluster, temporal: impl std::fmt::Display, redis: &str) -> Launch {
    Launch::new("operator", env!("CARGO_BIN_EXE_steadfast-operator"))
        .flag("temporal-address", temporal)
        .flag("install-id", "test")
        .flag("worker-image", "worker:1")
        .flag("redis-url", redis)
        .flag("namespace", &cluster.namespace)
        .flag("operator-namespace", &cluster.namespace)
        .flag("leader-election", "disabled")
        .flag("admin-address", "127.0.0.1:0")
        .variable("KUBECONFIG", cluster.kubeconfig.display())
}

#[tokio::test]
async fn the_flags_of_temporal_reach_the_connection() {
    let cluster = Cluster::new("temporal-tls").await;
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let authority = CertificateAuthority::new().unwrap();
    let proxy = TlsProxy::start(
        &temporal.address(),
        &authority,
        &["frontend.example"],
        ClientCertificates::Required,
    )
    .await
    .unwrap();
    let client = authority.client("operator").unwrap();
    let launch = operator(&cluster, format_args!("localhost:{}", proxy.port()))
        .path_flag("temporal-tls-ca-path", authority.certificate())
        .path_flag("temporal-tls-cert-path", &client.certificate)
        .path_flag("temporal-tls-key-path", &client.key)
        .flag("temporal-tls-server-name", "frontend.example")
        .variable("TEMPORAL_API_KEY", "key-of-the-operator");
    let logs = authority.certificate().with_file_name("logs");
    let operator = Service::new(launch, Lifetime::OfThisProcess, &logs).unwrap();
    operator.start().unwrap();
    // It lists the schedules as soon as it acts.
    operator
        .ready(TIMEOUT, async || {
            ensure!(!proxy.authorizations().is_empty(), "no request has reached Temporal");
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(proxy.authorizations(), [Some("Bearer key-of-the-operator".to_owned())]);
    operator.kill().await.unwrap();
}

/// The notes of each schedule, by id.
async fn notes(temporal: &Temporal) -> anyhow::Result<Value> {
    let listed = temporal.cli(&["schedule", "list", "--output", "json"]).await?;
    let listed: Vec<Value> = serde_json::from_str(&listed)?;
    let notes = listed.iter().map(|schedule| {
        let id = schedule["scheduleId"].as_str().context("a schedule without an id")?;
        Ok((id.to_owned(), schedule["info"]["notes"].clone()))
    });
    Ok(Value::Object(notes.collect::<anyhow::Result<_>>()?))
}

#[tokio::test]
async fn two_clusters_with_one_install_id_leave_each_others_schedules_alone() {
    let cluster = Cluster::new("two-clusters").await;
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let of_another = "steadfast cluster=another 0";
    for (agent, schedule) in [("shared", "taken"), ("elsewhere", "daily")] {
        let id = format!("test/{}/{agent}/{schedule}", cluster.namespace);
        let create = [
            "schedule",
            "create",
            "--schedule-id",
            &id,
            "--notes",
            of_another,
            "--cron",
            "@daily",
            "--workflow-id",
            "w",
            "--type",
            "AgentTask",
            "--task-queue",
            "q",
        ];
        temporal.cli(&create).await.unwrap();
    }
    let schedule = |name: &str| json!({"name": name, "cron": "@daily", "message": "Go."});
    let schedules = json!({"schedules": [schedule("taken"), schedule("own")]});
    cluster.agent("shared", schedules).await;
    let logs = tempfile::tempdir().unwrap();
    let launch = operator(&cluster, temporal.url());
    let operator = Service::new(launch, Lifetime::OfThisProcess, logs.path()).unwrap();
    operator.start().unwrap();

    let message = cluster
        .condition("shared", ConditionType::SchedulesSynced, "False", "InstallIdConflict")
        .await;
    assert!(message.contains("belongs to the cluster another"), "{message}");
    wait::until("the schedule that nobody else has", TIMEOUT, async || {
        let notes = notes(&temporal).await?;
        let own = notes[format!("test/{}/shared/own", cluster.namespace)]
            .as_str()
            .unwrap_or_default();
        ensure!(own.starts_with("steadfast cluster="), "{notes}");
        Ok(())
    })
    .await
    .unwrap();
    let after = notes(&temporal).await.unwrap();
    for (agent, schedule) in [("shared", "taken"), ("elsewhere", "daily")] {
        assert_eq!(
            after[format!("test/{}/{agent}/{schedule}", cluster.namespace)],
            of_another
        );
    }
    operator.kill().await.unwrap();
}

#[tokio::test]
async fn a_schedule_that_somebody_deleted_in_temporal_comes_back() {
    let cluster = Cluster::new("deleted-schedule").await;
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let schedules = json!({"schedules": [{"name": "daily", "cron": "@daily", "message": "Go."}]});
    cluster.agent("reporter", schedules).await;
    let logs = tempfile::tempdir().unwrap();
    let launch = operator(&cluster, temporal.url()).flag("schedule-resync-seconds", 1);
    let operator = Service::new(launch, Lifetime::OfThisProcess, logs.path()).unwrap();
    operator.start().unwrap();
    cluster
        .condition("reporter", ConditionType::SchedulesSynced, "True", "Synced")
        .await;

    let id = format!("test/{}/reporter/daily", cluster.namespace);
    temporal
        .cli(&["schedule", "delete", "--schedule-id", &id])
        .await
        .unwrap();
    wait::until("the deleted schedule", TIMEOUT, async || {
        let notes = notes(&temporal).await?;
        ensure!(notes[&id].is_string(), "{notes}");
        Ok(())
    })
    .await
    .unwrap();
    operator.kill().await.unwrap();
}

/// A tenant is a release for its own namespaces, with its own connections. Both have the same install id here.
#[tokio::test]
async fn operators_of_two_tenants_have_a_temporal_and_a_redis_each() {
    let logs = tempfile::tempdir().unwrap();
    let mut tenants = Vec::new();
    for name in ["tenant-a", "tenant-b"] {
        let cluster = Cluster::new(name).await;
        let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
        let redis = format!("redis://redis.{name}:6379");
        let schedules = json!([{"name": "daily", "cron": "@daily", "message": "Go."}]);
        cluster.agent("reporter", json!({ "schedules": schedules })).await;
        let launch = operator_with(&cluster, temporal.url(), &redis);
        let operator = Service::new(launch, Lifetime::OfThisProcess, &logs.path().join(name)).unwrap();
        operator.start().unwrap();
        tenants.push((cluster, temporal, redis, operator));
    }
    for (cluster, temporal, redis, _) in &tenants {
        cluster
            .condition("reporter", ConditionType::SchedulesSynced, "True", "Synced")
            .await;
        let own = format!("test/{}/reporter/daily", cluster.namespace);
        let ids: Vec<String> = notes(temporal)
            .await
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(ids, [own]);
        let pod = template(&cluster.deployment("reporter", |_| true).await);
        let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
        for variable in [
            json!({"name": "TEMPORAL_ADDRESS", "value": temporal.url()}),
            json!({"name": "REDIS_URL", "value": redis}),
        ] {
            assert!(env.contains(&variable), "{variable}: {env:?}");
        }
    }
    for (_, _, _, operator) in tenants {
        operator.kill().await.unwrap();
    }
}

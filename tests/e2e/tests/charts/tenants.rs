//! Tenants who do not trust each other have a release each: for their namespaces, with a Temporal and a Redis of their
//! own, and without a ClusterRole. Releases of one name stand side by side.

use steadfast_e2e::chart::chart;
use steadfast_testkit::ControlPlane;

const TENANTS: [&str; 2] = ["team-a", "team-b"];

/// Installs the release `steadfast` of a tenant in a namespace beside that of its Agents.
async fn install(cluster: &ControlPlane, tenant: &str) {
    let settings = [
        "images.registry=localhost".to_owned(),
        "rbac.clusterRoles=false".to_owned(),
        format!("operator.watchNamespaces={{{tenant}}}"),
        format!("gateway.defaultNamespace={tenant}"),
        format!("temporal.address=temporal.{tenant}-temporal:7233"),
        format!("temporal.namespace={tenant}"),
        format!("redis.url=redis://redis.{tenant}-redis"),
    ];
    let (chart, namespace) = (chart("steadfast").display().to_string(), format!("{tenant}-system"));
    let mut arguments = vec![
        "upgrade",
        "--install",
        "steadfast",
        &chart,
        "--namespace",
        &namespace,
        "--create-namespace",
    ];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    cluster.helm(&arguments).await.unwrap();
}

#[tokio::test]
async fn releases_of_two_tenants_stand_side_by_side_and_reach_nothing_of_each_other() {
    let cluster = ControlPlane::start().await.unwrap();
    let definitions = chart("steadfast-crds").display().to_string();
    cluster
        .helm(&["install", "steadfast-crds", &definitions])
        .await
        .unwrap();
    for tenant in TENANTS {
        cluster.kubectl(&["create", "namespace", tenant]).await.unwrap();
        install(&cluster, tenant).await;
    }
    let may = async |tenant: &str, program: &str, namespace: &str, words: &[&str]| {
        let user = format!("--as=system:serviceaccount:{tenant}-system:steadfast-{program}");
        let asked = [&["auth", "can-i"], words, &["--namespace", namespace, user.as_str()]].concat();
        cluster.kubectl(&asked).await.is_ok()
    };
    for tenant in TENANTS {
        for namespace in TENANTS {
            let own = tenant == namespace;
            for (program, words) in [
                ("operator", &["get", "secrets"][..]),
                ("operator", &["patch", "deployments"]),
                ("operator", &["list", "agents.steadfast.dev"]),
                ("gateway", &["watch", "agents.steadfast.dev"]),
                ("gateway", &["patch", "agents.steadfast.dev"]),
            ] {
                let allowed = may(tenant, program, namespace, words).await;
                assert_eq!(allowed, own, "{program} of {tenant} in {namespace}: {words:?}");
            }
        }
        let system = format!("{tenant}-system");
        let env = "jsonpath={.items[*].spec.template.spec.containers[0].env[?(@.name=='TEMPORAL_NAMESPACE')].value}";
        let told = ["get", "deployments", "--namespace", &system, "--output", env];
        assert_eq!(cluster.kubectl(&told).await.unwrap(), format!("{tenant} {tenant}"));
    }

    // The end of one leaves the other as it is.
    let [gone, stays] = TENANTS;
    let system = format!("{gone}-system");
    let uninstall = ["uninstall", "steadfast", "--namespace", &system, "--no-hooks"];
    cluster.helm(&uninstall).await.unwrap();
    assert!(!may(gone, "operator", gone, &["get", "secrets"]).await);
    assert!(may(stays, "operator", stays, &["get", "secrets"]).await);
}

//! The charts and the examples, as Helm and a real API server see them. No pod
//! runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "charts/exposure.rs"]
mod exposure;
#[path = "charts/foreign_kinds.rs"]
mod foreign_kinds;
#[path = "charts/gateway_rights.rs"]
mod gateway_rights;
#[path = "charts/monitoring.rs"]
mod monitoring;
#[path = "charts/pages.rs"]
mod pages;
#[path = "charts/plain_manifests.rs"]
mod plain_manifests;
#[path = "charts/prices.rs"]
mod prices;
#[path = "charts/schemas.rs"]
mod schemas;
#[path = "charts/settings.rs"]
mod settings;
#[path = "charts/tenants.rs"]
mod tenants;
#[path = "charts/upgrade.rs"]
mod upgrade;

use std::process::Command;

use steadfast_e2e::chart::{REQUIRED, chart, complaint, documents, helm, named, rendered, template};
use steadfast_testkit::{
    ControlPlane,
    install::Example,
    tools::{GoProgram, go_program},
    workspace,
};

#[test]
fn charts_pass_a_strict_lint() {
    for name in ["steadfast", "steadfast-crds"] {
        let output = helm(&["lint", "--strict"], &chart(name), &[]);
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

/// They say what one setting makes of one object; the tests here say what holds between objects, programs and pages.
/// helm-unittest renders with Helm 3.
#[test]
fn the_unit_tests_of_the_chart_pass() {
    let output = Command::new(go_program(GoProgram::HelmUnittest).unwrap())
        .args(["--strict", "--color=false"])
        .arg(chart("steadfast"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("Test Suites: 6 passed, 6 total"), "{said}");
}

#[test]
fn a_missing_setting_is_named() {
    for left_out in 0..REQUIRED.len() {
        let mut given = REQUIRED.to_vec();
        let missing = given.remove(left_out);
        let name = missing.split('=').next().unwrap();
        let complaint = complaint(&template(&given));
        assert!(
            complaint.contains(name) && complaint.contains("required"),
            "{missing}: {complaint}"
        );
    }
}

#[test]
fn an_unknown_setting_is_refused() {
    let settings = [&REQUIRED[..], &["gateway.replica=3"]].concat();
    let complaint = complaint(&template(&settings));
    assert!(complaint.contains("'replica' not allowed"), "{complaint}");
}

#[test]
fn an_anonymous_gateway_must_be_enabled_explicitly() {
    let rendered = |settings: &[&str]| String::from_utf8(template(settings).stdout).unwrap();
    assert!(!rendered(&REQUIRED).contains("--insecure-allow-anonymous"));
    let settings = [&REQUIRED[..], &["gateway.allowAnonymous=true"]].concat();
    assert!(rendered(&settings).contains("args: [--insecure-allow-anonymous]"));
}

#[test]
fn nobody_decides_what_they_caused_unless_the_settings_say_so() {
    let forbids = |settings: &[&str]| rendered(settings).contains("STEADFAST_FORBID_SELF_APPROVAL");
    assert!(forbids(&[]));
    assert!(!forbids(&["gateway.forbidSelfApproval=false"]));
    // The gateway refuses to start with a rule about users that it does not know.
    assert!(!forbids(&["gateway.allowAnonymous=true"]));
}

#[test]
fn the_secrets_of_temporal_and_redis_reach_all_three_programs() {
    let settings = [
        &REQUIRED[..2],
        &[
            "redis.url=rediss://redis",
            "temporal.apiKeySecret.name=key",
            "temporal.tls.serverName=frontend.example",
            "temporal.tls.caSecret.name=ca",
            "temporal.tls.clientCertificateSecret.name=client",
            "redis.auth.username=steadfast",
            "redis.auth.passwordSecret.name=password",
            "redis.tls.caSecret.name=ca",
            "redis.tls.clientCertificateSecret.name=client",
            "redis.sentinel.passwordSecret.name=sentinel",
        ],
    ]
    .concat();
    let rendered = String::from_utf8(template(&settings).stdout).unwrap();
    let documents: Vec<&str> = rendered.split("\n---\n").collect();
    let deployment = |program: &str| {
        let source = format!("# Source: steadfast/templates/{program}/deployment.yaml");
        *documents.iter().find(|document| document.contains(&source)).unwrap()
    };
    let temporal = [
        ("TEMPORAL_API_KEY", "key", "api-key"),
        ("TEMPORAL_TLS_SERVER_CA_CERT_DATA", "ca", "ca.crt"),
        ("TEMPORAL_TLS_CLIENT_CERT_DATA", "client", "tls.crt"),
        ("TEMPORAL_TLS_CLIENT_KEY_DATA", "client", "tls.key"),
    ];
    let redis = [
        ("REDIS_PASSWORD", "password", "password"),
        ("REDIS_SENTINEL_PASSWORD", "sentinel", "password"),
        ("REDIS_TLS_CA_CERT_DATA", "ca", "ca.crt"),
        ("REDIS_TLS_CLIENT_CERT_DATA", "client", "tls.crt"),
        ("REDIS_TLS_CLIENT_KEY_DATA", "client", "tls.key"),
    ];
    let own = |program: &str, (variable, secret, key): (&str, &str, &str)| {
        let expected = format!(
            "- name: {variable}\n          valueFrom:\n            secretKeyRef:\n              name: {secret}\n              key: {key}\n"
        );
        assert!(deployment(program).contains(&expected), "{program}: {variable}");
    };
    for variable in temporal {
        own("operator", variable);
        own("gateway", variable);
    }
    for variable in redis {
        own("gateway", variable);
    }
    for (variable, secret, key) in temporal.into_iter().chain(redis) {
        let argument = format!("--worker-secret-env={variable}={secret}/{key}");
        assert!(deployment("operator").contains(&argument), "{argument}");
    }
    assert!(deployment("operator").contains("--worker-env=REDIS_USERNAME=steadfast"));
}

#[test]
fn agents_are_let_go_before_the_operator_is_uninstalled() {
    let narrow = ["operator.watchNamespaces={team-a,team-b}"];
    let jobs = documents(&rendered(&narrow), "Job");
    let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
    assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-delete");
    let pod = &job["spec"]["template"];
    assert_eq!(pod["spec"]["serviceAccountName"], "steadfast-operator");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["args"], serde_json::json!(["release-agents"]));
    let namespaces = serde_json::json!({"name": "STEADFAST_WATCH_NAMESPACES", "value": "team-a,team-b"});
    assert!(
        container["env"].as_array().unwrap().contains(&namespaces),
        "{container}"
    );

    // Where the network enforces policies, it reaches the API server as the operator does.
    let policies = documents(&rendered(&[]), "NetworkPolicy");
    let policy = policies
        .iter()
        .find(|policy| policy["metadata"]["name"] == "steadfast-operator");
    let components = &policy.unwrap()["spec"]["podSelector"]["matchExpressions"][0]["values"];
    let component = &pod["metadata"]["labels"]["app.kubernetes.io/component"];
    assert!(components.as_array().unwrap().contains(component), "{components}");

    let without = rendered(&["operator.releaseAgentsOnUninstall=false"]);
    assert_eq!(documents(&without, "Job"), Vec::<serde_json::Value>::new());
}

/// Whether a role permits reading Secrets, other than by name.
fn reads_secrets(role: &serde_json::Value) -> bool {
    let has = |list: &serde_json::Value, item: &str| list.as_array().unwrap().iter().any(|found| found == item);
    role["rules"]
        .as_array()
        .unwrap()
        .iter()
        .any(|rule| rule["resourceNames"].is_null() && has(&rule["resources"], "secrets") && has(&rule["verbs"], "get"))
}

#[test]
fn an_install_for_some_namespaces_reads_secrets_in_these_only() {
    let everywhere = rendered(&[]);
    assert!(documents(&everywhere, "ClusterRole").iter().any(reads_secrets));

    let narrow = rendered(&["operator.watchNamespaces={team-a,team-b}"]);
    assert!(!documents(&narrow, "ClusterRole").iter().any(reads_secrets));
    let roles = documents(&narrow, "Role");
    let namespaces: Vec<&serde_json::Value> = roles
        .iter()
        .filter(|role| reads_secrets(role))
        .map(|role| &role["metadata"]["namespace"])
        .collect();
    assert_eq!(namespaces, ["team-a", "team-b"]);
    for program in ["operator", "gateway"] {
        let deployment = named(&narrow, "Deployment", &format!("steadfast-{program}"));
        let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
            .as_array()
            .unwrap()
            .clone();
        let watched = serde_json::json!({"name": "STEADFAST_WATCH_NAMESPACES", "value": "team-a,team-b"});
        assert!(env.contains(&watched), "{program}");
        // Every Role is bound.
        for namespace in ["team-a", "team-b"] {
            let name = format!("steadfast-{program}-default");
            for kind in ["Role", "RoleBinding"] {
                let found = documents(&narrow, kind);
                let exists = found
                    .iter()
                    .any(|object| object["metadata"]["name"] == *name && object["metadata"]["namespace"] == namespace);
                assert!(exists, "{kind} {namespace}/{name}");
            }
        }
    }
}

#[test]
fn only_the_port_for_clients_is_open_to_other_pods() {
    let policies = documents(&rendered(&[]), "NetworkPolicy");
    let policy = |name: &str| {
        let found = policies.iter().find(|policy| policy["metadata"]["name"] == name);
        found.unwrap()["spec"].clone()
    };
    assert_eq!(
        policy("steadfast-operator")["policyTypes"],
        serde_json::json!(["Ingress", "Egress"])
    );
    assert_eq!(policy("steadfast-operator")["ingress"], serde_json::Value::Null);
    assert_eq!(
        policy("steadfast-gateway")["ingress"],
        serde_json::json!([{"ports": [{"port": "http"}]}])
    );

    let peer = serde_json::json!({"namespaceSelector": {"matchLabels": {"name": "monitoring"}}});
    let open = rendered(&[
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
        "operator.watchNamespaces={team-a}",
    ]);
    let metrics = serde_json::json!({"from": [peer], "ports": [{"port": "admin"}]});
    assert_eq!(
        named(&open, "NetworkPolicy", "steadfast-operator")["spec"]["ingress"][0],
        metrics
    );
    assert_eq!(
        named(&open, "NetworkPolicy", "steadfast-gateway")["spec"]["ingress"][1],
        metrics
    );
    let workers = named(&open, "NetworkPolicy", "steadfast-workers");
    assert_eq!(workers["metadata"]["namespace"], "team-a");
    let ingress = workers["spec"]["ingress"].as_array().unwrap();
    assert_eq!(ingress[1..], [metrics]);
    // The operator asks what MCP servers offer.
    assert_eq!(ingress[0]["ports"], serde_json::json!([{"port": "admin"}]));
    let operator = &ingress[0]["from"][0];
    assert_eq!(
        operator["podSelector"]["matchLabels"]["app.kubernetes.io/component"],
        "operator"
    );
    assert!(operator["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"].is_string());
    assert_eq!(
        documents(&rendered(&["networkPolicy.enabled=false"]), "NetworkPolicy").len(),
        0
    );
}

#[test]
fn a_gateway_that_ends_takes_connections_until_nobody_sends_any() {
    let spec = named(
        &rendered(&["gateway.preStopSeconds=10"]),
        "Deployment",
        "steadfast-gateway",
    )["spec"]
        .clone();
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"], 10);
    assert_eq!(pod["terminationGracePeriodSeconds"], 35);
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
}

#[test]
fn the_encryption_keys_are_mounted_and_named_to_the_workers() {
    let rendered = rendered(&["encryption.keysSecret=keys", "encryption.activeKeyId=2026-11"]);
    for program in ["operator", "gateway"] {
        let deployment = named(&rendered, "Deployment", &format!("steadfast-{program}"));
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], "keys", "{program}");
        let container = &pod["containers"][0];
        let env = container["env"].as_array().unwrap();
        let variable = |name: &str| env.iter().find(|v| v["name"] == name).map(|v| v["value"].clone());
        assert_eq!(
            variable("STEADFAST_ENCRYPTION_KEYS_PATH"),
            Some(container["volumeMounts"][0]["mountPath"].clone())
        );
        assert_eq!(variable("STEADFAST_ENCRYPTION_KEY_ID"), Some("2026-11".into()));
        let of_workers = variable("STEADFAST_WORKER_ENCRYPTION_SECRET");
        assert_eq!(of_workers, (program == "operator").then(|| "keys".into()));
    }
    let complaint = complaint(&template(&[&REQUIRED[..], &["encryption.activeKeyId=x"]].concat()));
    assert!(complaint.contains("encryption.keysSecret"), "{complaint}");
}

#[test]
fn audiences_origins_and_headers_reach_the_gateway() {
    let rendered = rendered(&[
        "gateway.tokenAudiences={steadfast,other}",
        "gateway.codecOrigins={https://temporal.example.com}",
        "gateway.conversationHeaders={x-chat}",
    ]);
    let deployment = named(&rendered, "Deployment", "steadfast-gateway");
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap()
        .clone();
    for (name, value) in [
        ("STEADFAST_TOKEN_AUDIENCES", "steadfast,other"),
        ("STEADFAST_CODEC_ORIGINS", "https://temporal.example.com"),
        ("STEADFAST_CONVERSATION_HEADERS", "x-chat"),
    ] {
        assert!(
            env.contains(&serde_json::json!({"name": name, "value": value})),
            "{name}"
        );
    }
    let any = complaint(&template(&[&REQUIRED[..], &["gateway.codecOrigins={*}"]].concat()));
    assert!(any.contains("codecOrigins"), "{any}");
}

#[test]
fn the_gateway_may_read_the_secrets_with_api_keys_and_no_others() {
    let default = documents(&rendered(&[]), "Role");
    assert!(
        default
            .iter()
            .all(|role| role["metadata"]["name"] != "steadfast-gateway-api-keys")
    );
    let keys = rendered(&["gateway.apiKeys.secretNames={ui-keys,ci-keys}"]);
    let role = named(&keys, "Role", "steadfast-gateway-api-keys");
    assert_eq!(role["metadata"]["namespace"], "default", "the namespace of the release");
    assert_eq!(
        role["rules"],
        serde_json::json!([{
            "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["ui-keys", "ci-keys"],
            "verbs": ["get", "list", "watch"],
        }])
    );
    let binding = named(&keys, "RoleBinding", "steadfast-gateway-api-keys");
    assert_eq!(binding["roleRef"]["name"], "steadfast-gateway-api-keys");
    assert_eq!(binding["subjects"][0]["name"], "steadfast-gateway");
    assert_eq!(
        variable(&keys, "STEADFAST_API_KEY_SECRETS").as_deref(),
        Some("ui-keys,ci-keys")
    );
}

/// A variable of the gateway.
fn variable(rendered: &str, name: &str) -> Option<String> {
    let deployment = named(rendered, "Deployment", "steadfast-gateway");
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    let found = env
        .as_array()
        .unwrap()
        .iter()
        .find(|variable| variable["name"] == name)?;
    Some(found["value"].as_str().unwrap().to_owned())
}

#[test]
fn an_issuer_limits_and_the_edge_reach_the_gateway() {
    let default = rendered(&[]);
    for name in [
        "OIDC_ISSUER",
        "OIDC_CLIENT_ID",
        "PROXY_USER_HEADER",
        "API_KEY_SECRETS",
        "TRUSTED_PROXIES",
        "PATH_PREFIX",
        "CORS_ORIGINS",
    ] {
        assert_eq!(variable(&default, &format!("STEADFAST_{name}")), None, "{name}");
    }
    assert_eq!(
        variable(&default, "STEADFAST_REQUESTS_PER_SECOND").as_deref(),
        Some("100")
    );
    let set = rendered(&[
        "gateway.oidc.issuer=https://login.example.com/realms/team",
        "gateway.oidc.audiences={chat,console}",
        "gateway.oidc.usernameClaim=email",
        "gateway.oidc.usernamePrefix=-",
        "gateway.oidc.groupsClaim=groups",
        "gateway.oidc.groupsPrefix=oidc:",
        "gateway.oidc.clientId=console",
        "gateway.oidc.scopes={openid,groups}",
        "gateway.proxySignIn.userHeader=X-Forwarded-User",
        "gateway.proxySignIn.groupsHeader=X-Forwarded-Groups",
        "gateway.limits.requestsPerSecond=0",
        "gateway.trustedProxies={10.0.0.0/8,fd00::/8}",
        "gateway.pathPrefix=/ai/steadfast",
        "gateway.corsOrigins={https://chat.example.com}",
    ]);
    for (name, value) in [
        ("OIDC_ISSUER", "https://login.example.com/realms/team"),
        ("OIDC_AUDIENCES", "chat,console"),
        ("OIDC_USERNAME_CLAIM", "email"),
        ("OIDC_USERNAME_PREFIX", "-"),
        ("OIDC_GROUPS_CLAIM", "groups"),
        ("OIDC_GROUPS_PREFIX", "oidc:"),
        ("OIDC_CLIENT_ID", "console"),
        ("OIDC_SCOPES", "openid,groups"),
        ("PROXY_USER_HEADER", "X-Forwarded-User"),
        ("PROXY_GROUPS_HEADER", "X-Forwarded-Groups"),
        ("REQUESTS_PER_SECOND", "0"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
        ("PATH_PREFIX", "/ai/steadfast"),
        ("CORS_ORIGINS", "https://chat.example.com"),
    ] {
        assert_eq!(
            variable(&set, &format!("STEADFAST_{name}")).as_deref(),
            Some(value),
            "{name}"
        );
    }
    for (setting, named) in [
        (
            "gateway.oidc.issuer=https://login.example.com",
            "gateway.oidc.audiences is required",
        ),
        ("gateway.oidc.issuer=http://login.example.com", "issuer"),
        ("gateway.oidc.clientId=console", "gateway.oidc.clientId must be among"),
        ("gateway.oidc.scopes={profile}", "scopes"),
        (
            "gateway.proxySignIn.userHeader=X-Forwarded-User",
            "gateway.trustedProxies is required",
        ),
        (
            "gateway.proxySignIn.groupsHeader=X-Forwarded-Groups",
            "gateway.proxySignIn.userHeader is required",
        ),
        ("gateway.proxySignIn.userHeader=A B", "userHeader"),
        ("gateway.trustedProxies={10.0.0.1}", "trustedProxies"),
        ("gateway.pathPrefix=steadfast", "pathPrefix"),
        ("gateway.corsOrigins={chat.example.com}", "corsOrigins"),
        ("gateway.limits.bodyKibBurst=1", "bodyKibBurst"),
        ("gateway.apiKeys.secretNames={A B}", "secretNames"),
    ] {
        let complaint = complaint(&template(&[&REQUIRED[..], &[setting]].concat()));
        assert!(complaint.contains(named), "{setting}: {complaint}");
    }
}

/// Helm gives a subchart what its parent sets for it, `enabled` of a `condition` among it.
#[test]
fn both_charts_are_accepted_as_subcharts() {
    let parent = tempfile::tempdir().unwrap();
    let charts = workspace::root().join("charts").display().to_string();
    let dependency = |name: &str| {
        format!(
            "- {{name: {name}, version: 0.1.0, repository: \"file://{charts}/{name}\", condition: {name}.enabled, tags: [agents]}}\n"
        )
    };
    let chart = format!(
        "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n{}{}",
        dependency("steadfast"),
        dependency("steadfast-crds")
    );
    std::fs::write(parent.path().join("Chart.yaml"), chart).unwrap();
    let path = parent.path().to_path_buf();
    let built = helm(&["dependency", "build"], &path, &[]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let own: Vec<String> = REQUIRED.iter().map(|setting| format!("steadfast.{setting}")).collect();
    let mut settings: Vec<&str> = own.iter().map(String::as_str).collect();
    settings.extend([
        "tags.agents=true",
        "global.imageRegistry=registry.example.com",
        "steadfast.enabled=true",
        "steadfast-crds.enabled=true",
    ]);
    let output = helm(&["template", "parent", "--kube-version=1.34"], &path, &settings);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        documents(&String::from_utf8(output.stdout).unwrap(), "Deployment").len(),
        2
    );
}

#[test]
fn the_way_out_reaches_every_program_and_a_password_stays_in_its_secret() {
    let plain = rendered(&[
        "outbound.httpsProxy=http://proxy.example.com:3128",
        "outbound.caBundleSecret.name=authorities",
    ]);
    let own = "- name: STEADFAST_HTTPS_PROXY\n          value: \"http://proxy.example.com:3128\"\n";
    assert_eq!(plain.matches(own).count(), 2, "operator and gateway");
    assert_eq!(
        plain
            .matches("- name: STEADFAST_CA_BUNDLE\n          valueFrom:")
            .count(),
        2
    );
    for argument in [
        "--worker-env=STEADFAST_HTTPS_PROXY=http://proxy.example.com:3128",
        "--worker-env=STEADFAST_NO_PROXY=.svc,.cluster.local,localhost",
        "--worker-secret-env=STEADFAST_CA_BUNDLE=authorities/ca.crt",
    ] {
        assert!(plain.contains(argument), "{argument}");
    }
    let secret = rendered(&["outbound.proxySecret.name=proxy"]);
    for argument in [
        "--worker-secret-env=STEADFAST_HTTPS_PROXY=proxy/url",
        "--worker-secret-env=STEADFAST_HTTP_PROXY=proxy/url",
        "--worker-env=STEADFAST_NO_PROXY=.svc,.cluster.local,localhost",
    ] {
        assert!(secret.contains(argument), "{argument}");
    }
    let none = rendered(&[]);
    assert!(!none.contains("_PROXY") && !none.contains("CA_BUNDLE"));
    assert!(none.contains("- name: STEADFAST_ALLOW_LOCAL_MODELS\n          value: \"false\"\n"));
}

#[tokio::test]
async fn an_api_server_accepts_both_charts_and_every_example() {
    let cluster = ControlPlane::start().await.unwrap();
    let install = async |name: &str, settings: &[&str]| {
        let chart = chart(name).display().to_string();
        let mut arguments = vec![
            "upgrade",
            "--install",
            name,
            &chart,
            "--namespace=steadfast-system",
            "--create-namespace",
        ];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        cluster.helm(&arguments).await.unwrap()
    };
    install("steadfast-crds", &[]).await;
    // A second time is an upgrade, and changes nothing.
    install("steadfast-crds", &[]).await;
    install("steadfast", &REQUIRED).await;

    let definitions = ["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"];
    cluster.kubectl(&definitions).await.unwrap();
    for example in Example::ALL {
        let (name, dir) = (example.name, example.dir().display().to_string());
        let applied = cluster.kubectl(&["apply", "--filename", &dir]).await;
        assert!(applied.is_ok(), "examples/{name}: {:#}", applied.unwrap_err());
    }

    // What was installed goes; what users wrote stays. No kubelet runs the Job of a hook here.
    cluster
        .helm(&["uninstall", "steadfast", "--namespace=steadfast-system", "--no-hooks"])
        .await
        .unwrap();
    cluster
        .helm(&["uninstall", "steadfast-crds", "--namespace=steadfast-system"])
        .await
        .unwrap();
    let agents = cluster.kubectl(&["get", "agents", "--output=name"]).await.unwrap();
    let mut expected: Vec<String> = Example::ALL
        .iter()
        .flat_map(|example| example.agents)
        .map(|agent| format!("agent.steadfast.dev/{agent}"))
        .collect();
    expected.sort();
    assert_eq!(agents.lines().collect::<Vec<_>>(), expected);
}

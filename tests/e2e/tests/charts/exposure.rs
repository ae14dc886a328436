//! How the chart lets clients in, keeps pods apart, and closes what nobody needs.

use serde_json::{Value, json};
use steadfast_e2e::chart::{documents, named, refusal, rendered};

const GATEWAY: &str = "steadfast-gateway";
const PROGRAMS: [&str; 2] = ["operator", "gateway"];

fn annotations(settings: &[&str]) -> Value {
    let enabled = [&["ingress.enabled=true"], settings].concat();
    named(&rendered(&enabled), "Ingress", GATEWAY)["metadata"]["annotations"].clone()
}

#[test]
fn an_ingress_names_hosts_and_certificates_and_leads_to_the_port_for_clients() {
    assert_eq!(documents(&rendered(&[]), "Ingress").len(), 0);
    let ingress = named(
        &rendered(&[
            "ingress.enabled=true",
            "ingress.className=traefik",
            "ingress.hosts={agents.example.com}",
            "ingress.tls[0].secretName=agents-tls",
            "ingress.tls[0].hosts={agents.example.com}",
        ]),
        "Ingress",
        GATEWAY,
    );
    let path = json!({
        "path": "/",
        "pathType": "Prefix",
        "backend": {"service": {"name": GATEWAY, "port": {"name": "http"}}},
    });
    let expected = json!({
        "ingressClassName": "traefik",
        "tls": [{"secretName": "agents-tls", "hosts": ["agents.example.com"]}],
        "rules": [{"host": "agents.example.com", "http": {"paths": [path]}}],
    });
    assert_eq!(ingress["spec"], expected);
    // Without a host, the rule is for all of them.
    let any = named(&rendered(&["ingress.enabled=true"]), "Ingress", GATEWAY);
    assert_eq!(any["spec"], json!({"rules": [{"http": {"paths": [path]}}]}));
}

#[test]
fn an_ingress_has_the_annotations_that_streams_need_and_those_of_the_user_win() {
    assert_eq!(annotations(&[]), Value::Null);
    let nginx = annotations(&["ingress.controller=ingress-nginx"]);
    assert_eq!(nginx["nginx.ingress.kubernetes.io/proxy-buffering"], "off");
    assert_eq!(nginx["nginx.ingress.kubernetes.io/proxy-read-timeout"], "3600");
    let f5 = annotations(&["ingress.controller=f5-nginx"]);
    assert_eq!(f5["nginx.org/proxy-buffering"], "False");
    let own = annotations(&[
        "ingress.controller=ingress-nginx",
        "ingress.annotations.nginx\\.ingress\\.kubernetes\\.io/proxy-read-timeout=\"600\"",
        "ingress.annotations.cert-manager\\.io/cluster-issuer=public",
    ]);
    assert_eq!(own["nginx.ingress.kubernetes.io/proxy-read-timeout"], "\"600\"");
    assert_eq!(own["cert-manager.io/cluster-issuer"], "public");
    assert_eq!(own["nginx.ingress.kubernetes.io/proxy-buffering"], "off");
    let unknown = refusal(&["ingress.enabled=true", "ingress.controller=other"]);
    assert!(unknown.contains("controller"), "{unknown}");
}

#[test]
fn a_route_has_no_timeout_and_needs_a_gateway() {
    let missing = refusal(&["httpRoute.enabled=true"]);
    assert!(missing.contains("httpRoute.parentRefs"), "{missing}");
    let settings = [
        "httpRoute.enabled=true",
        "httpRoute.parentRefs[0].name=public",
        "httpRoute.parentRefs[0].namespace=gateways",
        "httpRoute.hostnames={agents.example.com}",
        "gateway.service.port=8080",
    ];
    let expected = json!({
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["agents.example.com"],
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "timeouts": {"request": "0s", "backendRequest": "0s"},
            "backendRefs": [{"name": GATEWAY, "port": 8080}],
        }],
    });
    assert_eq!(named(&rendered(&settings), "HTTPRoute", GATEWAY)["spec"], expected);
    // For an implementation that knows no timeouts.
    let bare = rendered(&[&settings[..], &["httpRoute.timeouts=null"]].concat());
    let rule = &named(&bare, "HTTPRoute", GATEWAY)["spec"]["rules"][0];
    assert_eq!(rule["timeouts"], Value::Null);
}

#[test]
fn a_budget_keeps_one_of_several_replicas() {
    let budgets = |settings: &[&str]| -> Vec<Value> {
        let found = documents(&rendered(settings), "PodDisruptionBudget");
        found.iter().map(|budget| budget["metadata"]["name"].clone()).collect()
    };
    assert_eq!(budgets(&[]), [GATEWAY]);
    let several = ["operator.replicas=2", "gateway.replicas=3"];
    assert_eq!(budgets(&several), [GATEWAY, "steadfast-operator"]);
    assert_eq!(budgets(&["operator.replicas=1", "gateway.replicas=1"]).len(), 0);
    assert_eq!(
        budgets(&["gateway.replicas=3", "podDisruptionBudgets.enabled=false"]).len(),
        0
    );
    let budget = named(&rendered(&several), "PodDisruptionBudget", "steadfast-operator");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    let selector = &budget["spec"]["selector"]["matchLabels"];
    assert_eq!(selector["app.kubernetes.io/component"], "operator");
}

#[test]
fn replicas_are_spread_over_zones_and_nodes() {
    let constraints = |settings: &[&str], program: &str| {
        let deployment = named(&rendered(settings), "Deployment", &format!("steadfast-{program}"));
        let pod = &deployment["spec"]["template"];
        let constraints = pod["spec"]["topologySpreadConstraints"].as_array().unwrap().clone();
        // A constraint that selects other pods spreads nothing.
        for constraint in &constraints {
            let selected = constraint["labelSelector"]["matchLabels"].as_object().unwrap();
            for (label, value) in selected {
                assert_eq!(pod["metadata"]["labels"][label], *value, "{program}");
            }
        }
        constraints
    };
    for program in PROGRAMS {
        let found = constraints(&[], program);
        let keys: Vec<&Value> = found.iter().map(|constraint| &constraint["topologyKey"]).collect();
        assert_eq!(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
        assert!(
            found
                .iter()
                .all(|constraint| constraint["whenUnsatisfiable"] == "ScheduleAnyway")
        );
        let own = [
            format!("{program}.topologySpreadConstraints[0].topologyKey=rack"),
            format!("{program}.topologySpreadConstraints[0].maxSkew=1"),
            format!("{program}.topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule"),
            format!("{program}.priorityClassName=system-cluster-critical"),
        ];
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let found = constraints(&own, program);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["topologyKey"], "rack");
    }
}

/// The ports of the rules for connections that a program opens, and whether each names peers.
fn egress(settings: &[&str], program: &str) -> Vec<(Vec<u64>, bool)> {
    let policy = named(&rendered(settings), "NetworkPolicy", &format!("steadfast-{program}"));
    let rules = policy["spec"]["egress"].as_array().unwrap().clone();
    let ports = |rule: &Value| -> Vec<u64> {
        let ports = rule["ports"].as_array().unwrap();
        ports.iter().map(|port| port["port"].as_u64().unwrap()).collect()
    };
    rules.iter().map(|rule| (ports(rule), !rule["to"].is_null())).collect()
}

const DNS: [u64; 4] = [53, 53, 5353, 5353];
const API_SERVER: [u64; 3] = [443, 6443, 8443];

#[test]
fn operator_and_gateway_connect_to_what_they_need_and_nothing_else() {
    let anybody = |ports: &[u64]| (ports.to_vec(), false);
    let operator = egress(&[], "operator");
    // The last one are the admin ports of workers.
    assert_eq!(
        operator,
        [
            anybody(&DNS),
            anybody(&[7233]),
            anybody(&API_SERVER),
            (vec![8081], true)
        ]
    );
    assert_eq!(
        egress(&[], "gateway"),
        [anybody(&DNS), anybody(&[7233]), anybody(&API_SERVER), anybody(&[6379])]
    );
    let off = rendered(&["networkPolicy.egress.enabled=false"]);
    for program in PROGRAMS {
        let spec = named(&off, "NetworkPolicy", &format!("steadfast-{program}"))["spec"].clone();
        assert_eq!(spec["policyTypes"], json!(["Ingress"]));
        assert_eq!(spec["egress"], Value::Null);
    }
}

#[test]
fn the_ports_of_the_rules_are_those_of_the_addresses() {
    let redis = |settings: &[&str]| egress(settings, "gateway").last().unwrap().0.clone();
    assert_eq!(
        redis(&["redis.url=rediss://user:p%40ss@redis.example.com:6390/2"]),
        [6390]
    );
    assert_eq!(
        redis(&["redis.url=redis-sentinel://a:26379\\,b:26380\\,c/0?sentinelMasterId=m"]),
        [26379, 26380, 6379]
    );
    assert_eq!(redis(&["redis.url=", "redis.urlSecret.name=redis"]), [6379, 26379]);
    assert_eq!(redis(&["networkPolicy.egress.redisPorts={7000,7001}"]), [7000, 7001]);
    let narrow = egress(
        &[
            "temporal.address=https://agents.a1b2c.tmprl.cloud:7244",
            "networkPolicy.egress.temporal[0].ipBlock.cidr=192.0.2.0/24",
            "telemetry.otlpEndpoint=http://collector.observability:4317",
            "outbound.httpsProxy=http://proxy.example.com:3128",
        ],
        "gateway",
    );
    assert_eq!(narrow[1], (vec![7244], true));
    assert_eq!(narrow[3], (vec![4317, 3128], false));
    let extra = egress(&["networkPolicy.egress.extra[0].ports[0].port=9000"], "gateway");
    assert!(extra.contains(&(vec![9000], false)), "{extra:?}");
}

fn aggregated(settings: &[&str], role: &str) -> bool {
    let role = named(&rendered(settings), "ClusterRole", role);
    let labels = role["metadata"]["labels"].as_object().unwrap();
    labels
        .keys()
        .any(|label| label.starts_with("rbac.authorization.k8s.io/aggregate-to-"))
}

#[test]
fn nobody_gets_the_right_to_decide_their_own_approvals_from_the_clusters_own_roles() {
    let own = ["gateway.forbidSelfApproval=false"];
    assert!(aggregated(&[], "steadfast-approver"));
    assert!(!aggregated(&own, "steadfast-approver"));
    // The others do not depend on it.
    assert!(aggregated(&own, "steadfast-user"));
    assert!(!aggregated(
        &["rbac.aggregateToDefaultRoles=false"],
        "steadfast-approver"
    ));
}

#[test]
fn a_chart_without_cluster_roles_has_a_role_in_each_namespace() {
    let missing = refusal(&["rbac.clusterRoles=false"]);
    assert!(missing.contains("operator.watchNamespaces"), "{missing}");
    let narrow = rendered(&["rbac.clusterRoles=false", "operator.watchNamespaces={team-a,team-b}"]);
    assert_eq!(documents(&narrow, "ClusterRole").len(), 0);
    assert_eq!(documents(&narrow, "ClusterRoleBinding").len(), 0);
    let roles = documents(&narrow, "Role");
    for namespace in ["team-a", "team-b"] {
        let names: Vec<&str> = roles
            .iter()
            .filter(|role| role["metadata"]["namespace"] == namespace)
            .map(|role| role["metadata"]["name"].as_str().unwrap())
            .collect();
        for role in ["user", "approver", "eraser", "viewer", "editor", "granter"] {
            assert!(names.contains(&format!("steadfast-{role}").as_str()), "{names:?}");
        }
    }
    assert!(roles.iter().all(|role| !role["metadata"]["namespace"].is_null()));
}

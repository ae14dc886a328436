//! Dashboards and alerts ask for metrics and labels that the programs export, and each alert leads to its section of
//! `docs/alerts.md`. That `docs/observability.md` lists what the programs export is tested in each program.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_crds::yaml;
use steadfast_e2e::{
    backend::stack::python,
    chart::{chart, documents, named, refusal, rendered},
};
use steadfast_testkit::{documented_metrics::documented, stack::run_script, workspace};

type Series = BTreeMap<String, BTreeSet<String>>;

const DASHBOARDS: [&str; 3] = ["agents", "gateway", "operator"];
/// What Prometheus and its operator add to every metric.
const OF_PROMETHEUS: [&str; 3] = ["job", "namespace", "pod"];

/// The labels of every series that can be asked for.
fn series() -> Series {
    let mut series = BTreeMap::from([("up".to_owned(), labels([]))]);
    for program in ["Worker", "Gateway", "Operator"] {
        for metric in documented(program).unwrap() {
            let own = labels(metric.labels);
            if metric.kind == "histogram" {
                let mut bucket = own.clone();
                bucket.insert("le".to_owned());
                series.insert(format!("{}_bucket", metric.name), bucket);
                series.insert(format!("{}_sum", metric.name), own.clone());
                series.insert(format!("{}_count", metric.name), own);
            } else {
                series.insert(metric.name, own);
            }
        }
    }
    series
}

fn labels(own: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    own.into_iter().chain(OF_PROMETHEUS.map(str::to_owned)).collect()
}

/// A query, as `python/promql.py` reads it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Query {
    error: Option<String>,
    selectors: Vec<Selector>,
    groupings: Vec<Grouping>,
    /// Whether it has a result only while something is wrong.
    compared: bool,
}

#[derive(Debug, Deserialize)]
struct Selector {
    name: String,
    labels: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Grouping {
    labels: Vec<String>,
    metrics: Vec<String>,
}

impl Query {
    fn problems(&self, series: &Series) -> Vec<String> {
        let mut problems = Vec::from_iter(self.error.clone());
        for selector in &self.selectors {
            let Some(known) = series.get(&selector.name) else {
                problems.push(format!("nothing exports {}", selector.name));
                continue;
            };
            let unknown = selector.labels.iter().filter(|label| !known.contains(*label));
            problems.extend(unknown.map(|label| format!("{} has no label {label}", selector.name)));
        }
        for grouping in &self.groupings {
            for (metric, known) in grouping.metrics.iter().filter_map(|name| series.get_key_value(name)) {
                let unknown = grouping.labels.iter().filter(|label| !known.contains(*label));
                problems.extend(unknown.map(|label| format!("{metric} is grouped by {label}, which it has not")));
            }
        }
        problems
    }
}

async fn read(queries: &[String]) -> Vec<Query> {
    // Grafana's own variables are durations.
    let plain = |query: &String| query.replace("$__rate_interval", "5m").replace("$__range", "1h");
    let queries: Vec<String> = queries.iter().map(plain).collect();
    let read: Vec<Query> = run_script(&python("promql.py"), &[&json!(queries).to_string()])
        .await
        .unwrap();
    assert_eq!(read.len(), queries.len());
    read
}

/// What is wrong with each query that something is wrong with.
async fn problems(queries: &[String]) -> Vec<(String, Vec<String>)> {
    let series = series();
    let read = read(queries).await;
    let found = queries.iter().zip(read);
    found
        .map(|(query, read)| (query.clone(), read.problems(&series)))
        .filter(|(_, problems)| !problems.is_empty())
        .collect()
}

fn file(path: &str) -> String {
    std::fs::read_to_string(chart("steadfast").join("files").join(path)).unwrap()
}

/// Every alert of the file.
fn alerts() -> Vec<Value> {
    let file: Value = yaml::from_str(&file("alerts.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

#[tokio::test]
async fn every_query_of_a_dashboard_asks_for_what_the_programs_export() {
    let mut queries = Vec::new();
    for name in DASHBOARDS {
        let dashboard: Value = serde_json::from_str(&file(&format!("dashboards/{name}.json"))).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels
            .iter()
            .flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
        let before = queries.len();
        queries.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
        assert!(queries.len() > before + 5, "{name} has few queries");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let asked = variables
            .iter()
            .filter_map(|variable| variable["query"]["query"].as_str());
        queries.extend(asked.map(query_of_variable));
    }
    let problems = problems(&queries).await;
    assert!(problems.is_empty(), "{problems:#?}");
}

/// The query that has the values of `label_values(metric{…}, label)`.
fn query_of_variable(variable: &str) -> String {
    let inner = variable
        .strip_prefix("label_values(")
        .and_then(|rest| rest.strip_suffix(')'));
    let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap();
    format!("sum by ({label}) ({selector})")
}

#[tokio::test]
async fn a_query_for_what_nothing_exports_is_found() {
    let queries = [
        "sum by (agent) (rate(steadfast_turns_total{status=\"failed\"}[5m]))",
        "steadfast_turn_total",
        "steadfast_turns_total{model=\"m\"}",
        "sum by (model) (rate(steadfast_turns_total[5m])) / 2",
        // A histogram has three series, none of its own name.
        "rate(steadfast_model_call_seconds[5m])",
        "sum by (agent",
    ]
    .map(str::to_owned);
    let problems = problems(&queries).await;
    let found: Vec<&String> = problems.iter().map(|(query, _)| query).collect();
    assert_eq!(found, Vec::from_iter(&queries[1..]), "{problems:#?}");
}

#[tokio::test]
async fn every_alert_asks_for_what_the_programs_export_and_ends() {
    let queries: Vec<String> = alerts()
        .iter()
        .map(|alert| alert["expr"].as_str().unwrap().to_owned())
        .collect();
    let problems = problems(&queries).await;
    assert!(problems.is_empty(), "{problems:#?}");
    for (query, read) in queries.iter().zip(read(&queries).await) {
        assert!(read.compared, "it has a result while nothing is wrong: {query}");
    }
}

#[test]
fn every_alert_has_a_severity_and_a_section_that_says_what_to_do() {
    let page = std::fs::read_to_string(workspace::root().join("docs/alerts.md")).unwrap();
    let sections: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap().to_owned();
        let runbook = alert["annotations"]["runbook_url"].as_str().unwrap();
        let anchor = format!("/docs/alerts.md#{}", name.to_lowercase());
        assert!(runbook.ends_with(&anchor), "{name}: {runbook}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}: {severity}"
        );
        for text in ["summary", "description"] {
            assert!(alert["annotations"][text].is_string(), "{name} has no {text}");
        }
        assert!(names.insert(name.clone()), "{name} stands twice");
    }
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(sections, names);
}

#[test]
fn the_alerts_of_a_release_watch_its_own_jobs_and_lead_to_the_page_that_is_set() {
    assert_eq!(documents(&rendered(&[]), "PrometheusRule").len(), 0);
    let rule = named(
        &rendered(&[
            "fullnameOverride=agents",
            "monitoring.prometheusRule.enabled=true",
            "monitoring.prometheusRule.labels.release=prometheus",
            "monitoring.prometheusRule.runbookUrl=https://runbooks.example.com/steadfast",
            "monitoring.prometheusRule.disabled={SteadfastModelSlow}",
        ]),
        "PrometheusRule",
        "agents",
    );
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    let rules: Vec<Value> = rule["spec"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect();
    assert_eq!(rules.len(), alerts().len() - 1);
    assert!(rules.iter().all(|rule| rule["alert"] != "SteadfastModelSlow"));
    let down = rules
        .iter()
        .find(|rule| rule["alert"] == "SteadfastOperatorDown")
        .unwrap();
    assert_eq!(
        down["expr"],
        "absent(up{job=\"agents-operator-metrics\", namespace=\"default\"} == 1)"
    );
    assert_eq!(
        down["annotations"]["runbook_url"],
        "https://runbooks.example.com/steadfast#steadfastoperatordown"
    );
    // Prometheus fills in its own templates.
    let stuck = rules
        .iter()
        .find(|rule| rule["alert"] == "SteadfastReconcilesFail")
        .unwrap();
    assert_eq!(
        stuck["annotations"]["summary"],
        "Reconciliations of {{ $labels.controller }} fail"
    );
    let unknown = refusal(&[
        "monitoring.prometheusRule.enabled=true",
        "monitoring.prometheusRule.disabled={SteadfastOops}",
    ]);
    assert!(
        unknown.contains("SteadfastOops") && unknown.contains("SteadfastModelSlow"),
        "{unknown}"
    );
}

#[test]
fn grafanas_sidecar_finds_every_dashboard() {
    assert_eq!(documents(&rendered(&[]), "ConfigMap").len(), 0);
    let rendered = rendered(&[
        "monitoring.dashboards.enabled=true",
        "monitoring.dashboards.annotations.k8s-sidecar-target-directory=Agents",
    ]);
    for name in DASHBOARDS {
        let map = named(&rendered, "ConfigMap", &format!("steadfast-dashboard-{name}"));
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        assert_eq!(map["metadata"]["annotations"]["k8s-sidecar-target-directory"], "Agents");
        let text = map["data"][format!("steadfast-{name}.json")].as_str().unwrap();
        let shown: Value = serde_json::from_str(text).unwrap();
        let own: Value = serde_json::from_str(&file(&format!("dashboards/{name}.json"))).unwrap();
        assert_eq!(shown, own);
        assert_eq!(shown["uid"], format!("steadfast-{name}"));
    }
    assert_eq!(documents(&rendered, "ConfigMap").len(), DASHBOARDS.len());
}

#[test]
fn monitors_select_the_services_and_the_pods_that_have_metrics() {
    let rendered = rendered(&[
        "monitoring.serviceMonitor.enabled=true",
        "monitoring.serviceMonitor.labels.release=prometheus",
        "monitoring.podMonitor.enabled=true",
        "operator.watchNamespaces={team-a}",
    ]);
    let monitor = named(&rendered, "ServiceMonitor", "steadfast");
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(
        monitor["spec"]["endpoints"],
        json!([{"port": "metrics", "interval": "30s"}])
    );
    let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    let services = documents(&rendered, "Service");
    let selected: Vec<&str> = services
        .iter()
        .filter(|service| {
            let labels = &service["metadata"]["labels"];
            wanted.iter().all(|(label, value)| labels[label] == *value)
        })
        .filter(|service| service["spec"]["ports"][0]["name"] == "metrics")
        .map(|service| service["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(selected, ["steadfast-gateway-metrics", "steadfast-operator-metrics"]);
    let pods = named(&rendered, "PodMonitor", "steadfast-workers");
    assert_eq!(pods["spec"]["namespaceSelector"], json!({"matchNames": ["team-a"]}));
    assert_eq!(
        pods["spec"]["podMetricsEndpoints"],
        json!([{"port": "admin", "interval": "30s"}])
    );
}

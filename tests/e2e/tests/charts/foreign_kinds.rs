//! Objects of kinds that others define fit the types of those who define them, field by field.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use steadfast_crds::yaml;
use steadfast_e2e::{
    chart::{named, rendered},
    pages::{blocks, page},
};
use steadfast_testkit::tools::own_go_program;

/// Reads the objects into the types of their projects.
fn read(objects: &[Value]) -> Output {
    let mut program = Command::new(own_go_program("foreign-kinds").unwrap())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> = objects.iter().map(|object| format!("{object}\n")).collect();
    // It ends at the first wrong object, with input left.
    let _ = program.stdin.take().unwrap().write_all(lines.concat().as_bytes());
    program.wait_with_output().unwrap()
}

#[test]
fn the_gateway_api_and_the_prometheus_operator_know_every_field() {
    let rendered = rendered(&[
        "httpRoute.enabled=true",
        "httpRoute.parentRefs[0].name=public",
        "httpRoute.parentRefs[0].namespace=gateways",
        "httpRoute.parentRefs[0].sectionName=https",
        "httpRoute.hostnames={agents.example.com}",
        "monitoring.serviceMonitor.enabled=true",
        "monitoring.podMonitor.enabled=true",
        "monitoring.prometheusRule.enabled=true",
    ]);
    let mut objects: Vec<Value> = [
        ("HTTPRoute", "steadfast-gateway"),
        ("ServiceMonitor", "steadfast"),
        ("PodMonitor", "steadfast-workers"),
        ("PrometheusRule", "steadfast"),
    ]
    .into_iter()
    .map(|(kind, name)| named(&rendered, kind, name))
    .collect();
    // The example of the page, through which the route leads.
    let examples = blocks(&page("expose"), "yaml");
    let gateway = examples.iter().find(|block| block.contains("kind: Gateway\n")).unwrap();
    objects.push(yaml::from_str(gateway).unwrap());
    let output = read(&objects);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    objects[0]["spec"]["rules"][0]["timeout"] = json!("0s");
    let complaint = read(&objects);
    let complaint = String::from_utf8_lossy(&complaint.stderr).into_owned();
    assert!(
        complaint.contains("unknown field \"spec.rules[0].timeout\""),
        "{complaint}"
    );
}

//! The gateway behind the proxies of `docs/expose.md`, as the chart configures them. A stream that has been quiet is
//! still open, and what comes next comes at once: nothing is buffered.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use steadfast_crds::yaml;
use steadfast_e2e::{
    backend::stack::shared_stack,
    chart::{REQUIRED, chart, named, rendered},
    pages::{blocks, page},
};
use steadfast_testkit::{
    CertificateAuthority, ControlPlane, Exposure, ReverseProxy,
    scripted_model::{Gate, Reply, Text},
    stack::{AgentSetup, Client, GatewayResponse, TIMEOUT},
    tools::own_go_module,
    wait,
};

/// How often the gateway sends a comment into a quiet stream.
const PING: Duration = Duration::from_secs(15);
/// One comment shows that a quiet stream stays open.
const QUIET: usize = 1;
/// Two minutes.
const LONG_QUIET: usize = 8;

/// A task whose stream is quiet, and then shows the first words of an answer before the answer is whole.
async fn quiet_stream_goes_on(proxy: &ReverseProxy, client: Client, agent: &str, quiet: usize) {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new(agent, move |_| {
        Reply::text(Text::words("First words, and the last ones.").hold_after(2, &held))
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = client.task(&agent.name()).await.unwrap();
    let mut stream = task.raw_stream().await.unwrap();
    let longest = PING * u32::try_from(quiet).unwrap() + TIMEOUT;
    let stayed = stream.until_comments(quiet, longest).await;
    assert!(
        stayed.is_ok(),
        "{:#}; see {}",
        stayed.unwrap_err(),
        proxy.log().display()
    );
    task.send("Go on.").await.unwrap();
    // Less than the time until the next comment, which could push a buffer out.
    let shown = stream.until_text("First", PING / 2).await;
    assert!(shown.is_ok(), "{:#}; see {}", shown.unwrap_err(), proxy.log().display());
    gate.open();
    stream.until_text("turn_ended", TIMEOUT).await.unwrap();
}

/// The directives that a controller makes of the annotations of the chart's Ingress.
fn directives(controller: &str) -> Vec<(String, String)> {
    let settings = [
        "ingress.enabled=true".to_owned(),
        format!("ingress.controller={controller}"),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let ingress = named(&rendered(&settings), "Ingress", "steadfast-gateway");
    let annotations: BTreeMap<String, String> =
        serde_json::from_value(ingress["metadata"]["annotations"].clone()).unwrap();
    annotations
        .into_iter()
        .map(|(annotation, value)| {
            let (_, name) = annotation.split_once('/').unwrap();
            let name = match name {
                "proxy-body-size" => "client_max_body_size".to_owned(),
                name => name.replace('-', "_"),
            };
            (name, if value == "False" { "off".to_owned() } else { value })
        })
        .collect()
}

/// Larger than NGINX takes by itself, and not than the gateway does.
async fn send_large_body(client: &Client) -> GatewayResponse {
    let large = json!({"jsonrpc": "2.0", "id": 1, "method": "task/create", "params": {"name": "x".repeat(3 << 19)}});
    client.post("/agents/name/nobody/rpc", large.to_string()).await.unwrap()
}

async fn behind_nginx(controller: &str, agent: &str, quiet: usize) {
    let stack = shared_stack().await;
    let url = stack.url();
    let upstream = url.trim_start_matches("http://");
    let proxy = ReverseProxy::nginx(upstream, &directives(controller)).await.unwrap();
    let client = Client::new(proxy.url()).unwrap();
    let answer = send_large_body(&client).await;
    assert!(answer.body.is_object(), "NGINX answers {}", answer.status);
    quiet_stream_goes_on(&proxy, client, agent, quiet).await;
}

#[tokio::test]
async fn a_quiet_stream_goes_on_behind_nginx_with_the_annotations_of_the_community() {
    behind_nginx("ingress-nginx", "ingress-nginx", QUIET).await;
}

#[tokio::test]
async fn a_quiet_stream_goes_on_behind_nginx_with_the_annotations_of_f5() {
    behind_nginx("f5-nginx", "f5-nginx", QUIET).await;
}

/// What shows that the annotations have their effect.
#[tokio::test]
async fn nginx_without_the_annotations_refuses_a_body_that_the_gateway_takes() {
    let url = shared_stack().await.url();
    let proxy = ReverseProxy::nginx(url.trim_start_matches("http://"), &[])
        .await
        .unwrap();
    let client = Client::new(proxy.url()).unwrap();
    let answer = send_large_body(&client).await;
    assert_eq!((answer.status, answer.body), (413, Value::Null));
}

#[tokio::test]
async fn a_quiet_stream_goes_on_behind_traefik_which_reads_the_ingress_of_the_chart() {
    behind_traefik("traefik", Exposure::Ingress, QUIET).await;
}

#[tokio::test]
async fn a_quiet_stream_goes_on_behind_traefik_which_reads_the_route_of_the_chart() {
    behind_traefik("traefik-route", Exposure::GatewayApi, QUIET).await;
}

#[tokio::test]
#[ignore = "waits for two minutes; `cargo xtask test --long`"]
async fn a_stream_that_is_quiet_for_two_minutes_goes_on_behind_every_proxy() {
    tokio::join!(
        behind_nginx("ingress-nginx", "long-ingress-nginx", LONG_QUIET),
        behind_nginx("f5-nginx", "long-f5-nginx", LONG_QUIET),
        behind_traefik("long-traefik", Exposure::Ingress, LONG_QUIET),
        behind_traefik("long-traefik-route", Exposure::GatewayApi, LONG_QUIET),
    );
}

/// Over TLS, with the certificate of a Secret.
async fn behind_traefik(agent: &str, exposure: Exposure, quiet: usize) {
    let stack = shared_stack().await;
    let port: u16 = stack.url().rsplit(':').next().unwrap().parse().unwrap();
    let authority = CertificateAuthority::new().unwrap();
    let certificate = authority.server(&["localhost"]).unwrap();
    let cluster = ControlPlane::start().await.unwrap();
    let key = format!("--key={}", certificate.key.display());
    let cert = format!("--cert={}", certificate.certificate.display());
    let mut secret = vec!["create", "secret", "tls", "agents-tls", &cert, &key];
    let proxy = match exposure {
        Exposure::Ingress => {
            let class = json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IngressClass",
                "metadata": {"name": "traefik"},
                "spec": {"controller": "traefik.io/ingress-controller"},
            });
            apply(&cluster, &class).await;
            cluster.kubectl(&secret).await.unwrap();
            install(&cluster, &example("className: traefik\n  hosts:")).await;
            lead_out_by_name(&cluster, port).await;
            ReverseProxy::traefik(&cluster, exposure).await.unwrap()
        }
        Exposure::GatewayApi => {
            define_gateway_api(&cluster).await;
            cluster.kubectl(&["create", "namespace", "gateways"]).await.unwrap();
            secret.push("--namespace=gateways");
            cluster.kubectl(&secret).await.unwrap();
            install(&cluster, &example("httpRoute:")).await;
            lead_out_by_address(&cluster, port).await;
            let proxy = ReverseProxy::traefik(&cluster, exposure).await.unwrap();
            apply_gateway(&cluster, proxy.port()).await;
            proxy
        }
    };
    let client = Client::trusting(proxy.url(), &authority.certificate()).unwrap();
    wait::until("Traefik to read what leads to the gateway", TIMEOUT, async || {
        let answer = client.get("/openapi.json").await?;
        anyhow::ensure!(answer.status == 200, "the status is {}", answer.status);
        Ok(())
    })
    .await
    .unwrap();
    quiet_stream_goes_on(&proxy, client, agent, quiet).await;
}

/// The example of the page that has these words, for this host and for the namespace of the release.
fn example(words: &str) -> String {
    let examples = blocks(&page("expose"), "yaml");
    let example = examples.iter().find(|block| block.contains(words)).unwrap();
    let example = example.replace("agents.example.com", "localhost");
    example.replace("steadfast-system", "default")
}

async fn apply(cluster: &ControlPlane, object: &Value) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("object.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let apply = ["apply", "--filename", file.to_str().unwrap()];
    cluster.kubectl(&apply).await.unwrap();
}

async fn install(cluster: &ControlPlane, values: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    let path = chart("steadfast").display().to_string();
    let mut arguments = vec![
        "upgrade",
        "--install",
        "steadfast",
        &path,
        "--values",
        file.to_str().unwrap(),
    ];
    arguments.extend(REQUIRED.iter().flat_map(|setting| ["--set", *setting]));
    cluster.helm(&arguments).await.unwrap();
}

async fn patch_service(cluster: &ControlPlane, patch: &Value) {
    let patch = format!("--patch={patch}");
    let service = ["patch", "service", "steadfast-gateway", "--type=merge", &patch];
    cluster.kubectl(&service).await.unwrap();
}

/// There are no pods: the Service leads to the gateway of the stack.
async fn lead_out_by_name(cluster: &ControlPlane, port: u16) {
    let spec = json!({"spec": {
        "type": "ExternalName",
        "externalName": "localhost",
        "clusterIP": Value::Null,
        "clusterIPs": Value::Null,
        "selector": Value::Null,
        "ports": [{"name": "http", "port": port}],
    }});
    patch_service(cluster, &spec).await;
}

/// The same where a proxy takes no names: an address of the loopback is refused as an address, and not as a name.
async fn lead_out_by_address(cluster: &ControlPlane, port: u16) {
    patch_service(cluster, &json!({"spec": {"selector": Value::Null}})).await;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "the-stack", "labels": {"kubernetes.io/service-name": "steadfast-gateway"}},
        "addressType": "FQDN",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
        "ports": [{"name": "http", "port": port}],
    });
    apply(cluster, &slice).await;
}

/// The definitions of the Gateway API, as its module has them.
async fn define_gateway_api(cluster: &ControlPlane) {
    let module = own_go_module("foreign-kinds", "sigs.k8s.io/gateway-api").unwrap();
    let definitions = module.join("config/crd/standard").display().to_string();
    let apply = ["apply", "--server-side", "--filename", &definitions];
    cluster.kubectl(&apply).await.unwrap();
    let established = ["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"];
    cluster.kubectl(&established).await.unwrap();
}

/// The page's Gateway. Traefik serves the listeners at the port that it has.
async fn apply_gateway(cluster: &ControlPlane, port: u16) {
    let class = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "traefik"},
        "spec": {"controllerName": "traefik.io/gateway-controller"},
    });
    apply(cluster, &class).await;
    let mut gateway: Value = yaml::from_str(&example("kind: Gateway\n")).unwrap();
    gateway["spec"]["listeners"][0]["port"] = json!(port);
    apply(cluster, &gateway).await;
}

//! The prices of models, and the links of timelines, as they reach the gateway.

use serde_json::json;
use steadfast_crds::yaml;
use steadfast_e2e::chart::{REQUIRED, complaint, documents, named, rendered, template};

use super::variable;

/// Whole numbers: Helm takes others for texts, but in a file.
const MODELS: [&str; 4] = [
    "gateway.modelPrices.models[0].model=gpt-5*",
    "gateway.modelPrices.models[0].input=2",
    "gateway.modelPrices.models[0].cachedInput=1",
    "gateway.modelPrices.models[0].output=10",
];

fn price_maps(rendered: &str) -> usize {
    let maps = documents(rendered, "ConfigMap");
    let is_of_prices = |map: &&serde_json::Value| map["metadata"]["name"] == "steadfast-model-prices";
    maps.iter().filter(is_of_prices).count()
}

#[test]
fn prices_are_a_mounted_config_map_of_the_chart_or_one_of_the_users() {
    let without = rendered(&[]);
    assert_eq!(
        (variable(&without, "STEADFAST_MODEL_PRICES"), price_maps(&without)),
        (None, 0)
    );

    let own = rendered(&MODELS);
    let map = named(&own, "ConfigMap", "steadfast-model-prices");
    let prices: serde_json::Value = yaml::from_str(map["data"]["prices.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(
        prices,
        json!({"currency": "USD", "models": [{"model": "gpt-5*", "input": 2, "cachedInput": 1, "output": 10}]})
    );
    let of_user = rendered(&["gateway.modelPrices.configMapName=prices"]);
    assert_eq!(price_maps(&of_user), 0);
    for (rendered, name) in [(own, "steadfast-model-prices"), (of_user, "prices")] {
        let deployment = named(&rendered, "Deployment", "steadfast-gateway");
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0]["configMap"], json!({"name": name, "optional": true}));
        let mount = &pod["containers"][0]["volumeMounts"][0];
        // A mounted file would not change with its ConfigMap.
        assert!(mount["subPath"].is_null());
        let directory = mount["mountPath"].as_str().unwrap();
        assert_eq!(
            variable(&rendered, "STEADFAST_MODEL_PRICES"),
            Some(format!("{directory}/prices.yaml"))
        );
    }
}

#[test]
fn prices_that_the_gateway_would_refuse_are_refused() {
    for settings in [
        &["gateway.modelPrices.currency=euro"][..],
        &["gateway.modelPrices.models[0].model=a"],
        &[MODELS[0], "gateway.modelPrices.models[0].input=-1", MODELS[3]],
        &["gateway.modelPrices.models[0].model=a*b", MODELS[1], MODELS[3]],
    ] {
        let complaint = complaint(&template(&[&REQUIRED[..], settings].concat()));
        assert!(complaint.contains("modelPrices"), "{settings:?}: {complaint}");
    }
    let both = [&REQUIRED[..], &MODELS, &["gateway.modelPrices.configMapName=prices"]].concat();
    let complaint = complaint(&template(&both));
    assert!(complaint.contains("set models or configMapName"), "{complaint}");
}

#[test]
fn links_reach_the_gateway() {
    let rendered = rendered(&[
        "gateway.links.temporalUi=https://temporal.example.com/{workflowId}",
        "gateway.links.trace=https://traces.example.com/{traceId}",
    ]);
    for (name, value) in [
        ("STEADFAST_TEMPORAL_UI_URL", "https://temporal.example.com/{workflowId}"),
        ("STEADFAST_TRACE_URL", "https://traces.example.com/{traceId}"),
    ] {
        assert_eq!(variable(&rendered, name).as_deref(), Some(value));
    }
    let complaint = complaint(&template(
        &[&REQUIRED[..], &["gateway.links.trace=javascript:alert(1)"]].concat(),
    ));
    assert!(complaint.contains("links"), "{complaint}");
}

//! The documented example, applied as its README says, and a public client.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_testkit::install;
use steadfast_testkit::scripted_model::{Reply, Text};
use steadfast_testkit::stack::{Line, run_script};

use crate::namespace::{API_KEY, Namespace, PODS_PATIENCE};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/conversation.py");
const QUESTION: &str = "How is the weather in Oslo?";

pub async fn the_weather_example_answers_the_public_python_client(namespace: Namespace) {
    let model = namespace
        .model(|request| match request.last_tool_output() {
            None => Reply::call("get_weather", &json!({"city": "Oslo"})),
            Some(output) => {
                Reply::text(Text::words(format!("The tool said: {output}")).every(Duration::from_millis(20)))
            }
        })
        .unwrap();
    let platform = namespace.platform();
    install::apply_example(platform, namespace.name(), "weather")
        .await
        .unwrap();
    // The one thing that is not as in the example: where the model is.
    let elsewhere = json!({"model": {"baseUrl": model.base_url()}});
    namespace.patch_agent("weather", &elsewhere).await.unwrap();
    namespace.set_key(API_KEY).await.unwrap();
    install::wait_for_deployment(platform, namespace.name(), "weather-tools", PODS_PATIENCE)
        .await
        .unwrap();
    install::wait_for_agent(platform, namespace.name(), "weather", PODS_PATIENCE)
        .await
        .unwrap();

    // Agents of the gateway's default namespace have no namespace in their names.
    let token = namespace.user("alice").await.unwrap();
    let arguments = [namespace.gateway(), "weather", QUESTION, &token];
    let told: Value = run_script(SCRIPT.as_ref(), &arguments).await.unwrap();

    let messages: Vec<Line> = told["messages"].as_array().unwrap().iter().map(Line::of_wire).collect();
    let Some(Line::ToolResponse { content: report, .. }) = messages.get(2) else {
        panic!("the third message is no tool response: {messages:#?}");
    };
    let nonce = report["nonce"].as_str().expect("the tool returned a nonce");
    let answer = format!("The tool said: {report}");
    assert!(answer.contains(nonce));
    assert_eq!(
        messages,
        [
            Line::user(QUESTION),
            Line::request("get_weather", json!({"city": "Oslo"})),
            Line::response("get_weather", report.clone()),
            Line::agent(&answer),
        ]
    );
    assert_eq!(told["agent_names"], json!(["weather"]));
    assert_eq!(told["task_by_id"]["status"], "RUNNING");

    let calls = model.journal();
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_eq!(call.request.header("authorization"), format!("Bearer {API_KEY}"));
        assert_eq!(call.request.tool_names(), ["get_weather"]);
        assert!(call.request.instructions().starts_with("You are the weather desk."));
    }
    assert_eq!(model.violations(), Vec::<String>::new());
}

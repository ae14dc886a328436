//! A conversation through the public Python client.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_testkit::{
    scripted_model::{ModelRequest, Reply, Text},
    stack::{API_KEY, Line, run_script},
};

use crate::backend::{Backend, BackendAgent as _, stack::python};

const QUESTION: &str = "How is the weather in Oslo?";

/// The public Python client holds a conversation with a tool call. Returns the agent and the
/// output of `python/conversation.py`.
pub async fn holds_a_conversation_with_a_tool_call<B: Backend>(backend: &B) -> (B::Agent, Value) {
    let agent = backend
        .start_weather_agent(Box::new(call_the_tool_then_repeat))
        .await
        .unwrap();
    let access = agent.access().await.unwrap();
    let mut arguments = vec![access.url.as_str(), "weather", QUESTION];
    arguments.extend(access.token.as_deref());
    let output: Value = run_script(&python("conversation.py"), &arguments).await.unwrap();

    let messages = output["messages"].as_array().unwrap();
    let messages: Vec<Line> = messages.iter().map(Line::of_wire).collect();
    let Some(Line::ToolResponse { content: report, .. }) = messages.get(2) else {
        panic!("the third message is not a tool response: {messages:#?}");
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

    assert_eq!(output["agent"]["name"], "weather");
    assert_eq!(output["same_task_for_same_name"], true);
    assert_eq!(
        (&output["event"]["task_id"], &output["event"]["agent_id"]),
        (&output["task"]["id"], &output["agent"]["id"])
    );
    assert_eq!(output["task_by_id"]["status"], "RUNNING");

    let stream = output["stream"].as_array().unwrap();
    assert_eq!(stream[0], json!({"type": "connected", "taskId": output["task"]["id"]}));
    let streamed: String = stream
        .iter()
        .filter_map(|frame| frame["delta"]["text_delta"].as_str())
        .collect();
    assert_eq!(streamed, answer);

    let calls = agent.model().journal();
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_eq!(call.request.header("authorization"), format!("Bearer {API_KEY}"));
        assert_eq!(call.request.tool_names(), ["get_weather"]);
    }
    assert_eq!(agent.model().violations(), Vec::<String>::new());
    (agent, output)
}

fn call_the_tool_then_repeat(request: &ModelRequest) -> Reply {
    match request.last_tool_output() {
        None => Reply::call("get_weather", &json!({"city": "Oslo"})),
        Some(output) => Reply::text(Text::words(format!("The tool said: {output}")).every(Duration::from_millis(20))),
    }
}

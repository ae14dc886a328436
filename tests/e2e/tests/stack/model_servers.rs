//! Servers of open models as they are, in both APIs: thinking, a call of a tool, its
//! result and the answer, all of it streamed.

use serde_json::json;
use steadfast_crds::model::ModelApi;
use steadfast_e2e::backend::stack::shared_stack;
use steadfast_testkit::{
    ModelServer,
    scripted_model::Reply,
    stack::{AgentSetup, Line, activity_tool},
};

async fn turns_with_a_tool_complete(server: &ModelServer, name: &str) {
    let stack = shared_stack().await;
    for (api, suffix) in [(ModelApi::ChatCompletions, "chat"), (ModelApi::Responses, "responses")] {
        let name = format!("{name}-{suffix}");
        let base_url = server.base_url();
        let setup = AgentSetup::new(&name, |_| Reply::text("Nobody asks me."))
            .tool(
                "get_weather",
                activity_tool("get_weather", "weather-tools", &json!({"city": {"type": "string"}})),
            )
            .configure(move |spec| {
                spec.model.api = api;
                spec.model.base_url = base_url;
            });
        let agent = stack.agent(setup).await.unwrap();
        let task = agent.task().await.unwrap();
        // The second turn has the items of the first one in its request.
        for turn in [1, 2] {
            let end = task.complete_turn(turn, "How is Oslo?").await.unwrap();
            assert_eq!(end.usage.model_calls, 2, "{name}");
            assert!(end.usage.input_tokens > 0, "{name}: {:?}", end.usage);
        }
        let lines = task.lines().await.unwrap();
        let calls = lines
            .iter()
            .filter(|line| **line == Line::request("get_weather", json!({"city": "Oslo"})));
        assert_eq!(calls.count(), 2, "{name}: {lines:#?}");
        let thoughts = lines.iter().filter(|line| matches!(line, Line::Reasoning(_)));
        assert_eq!(thoughts.count(), 2, "{name}: {lines:#?}");
        assert_eq!(lines.last(), Some(&Line::agent("It is cold.")), "{name}: {lines:#?}");
    }
}

#[tokio::test]
#[ignore = "installs llama.cpp's server: cargo xtask test --long"]
async fn turns_with_thinking_and_a_tool_complete_on_llama_cpp() {
    let server = ModelServer::llama_cpp().await.unwrap();
    turns_with_a_tool_complete(&server, "llama-cpp").await;
}

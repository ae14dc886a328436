//! LiteLLM's proxy between the worker and the model, in both APIs.

use serde_json::json;
use steadfast_crds::model::ModelApi;
use steadfast_e2e::backend::stack::shared_stack;
use steadfast_testkit::{
    LiteLlm,
    scripted_model::{ModelRequest, Reply, ScriptedModel, chat_delta, chat_end, chat_usage},
    stack::{API_KEY, AgentSetup, Line, activity_tool},
};

/// Calls the tool first, and says what came of it then.
fn script(request: &ModelRequest) -> Reply {
    let is_chat = request.body["messages"].is_array();
    let arguments = json!({"city": "Oslo"});
    match request.tool_outputs_of_turn().len() {
        0 if request.last_user_text() == "fail" => Reply::error(400, "invalid_request_error", "no such adapter"),
        0 if is_chat => Reply::chat([
            chat_delta(&json!({"role": "assistant", "reasoning_content": "I look."})),
            chat_delta(&json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                "function": {"name": "get_weather", "arguments": arguments.to_string()}}]})),
            chat_end("tool_calls"),
            chat_usage(),
        ]),
        0 => Reply::call("get_weather", &arguments),
        _ if is_chat => Reply::chat_text("It is cold."),
        _ => Reply::text("It is cold."),
    }
}

#[tokio::test]
async fn turns_with_tools_and_failures_go_through_the_proxy() {
    let model = ScriptedModel::start(script).unwrap();
    let proxy = LiteLlm::start(&model.base_url(), API_KEY).await.unwrap();
    let stack = shared_stack().await;
    for (name, api) in [
        ("litellm-chat", ModelApi::ChatCompletions),
        ("litellm-responses", ModelApi::Responses),
    ] {
        let (base_url, model_name) = (proxy.base_url(), proxy.model_name().to_owned());
        let setup = AgentSetup::new(name, |_| Reply::text("Nobody asks me."))
            .tool(
                "get_weather",
                activity_tool("get_weather", "weather-tools", &json!({"city": {"type": "string"}})),
            )
            .configure(move |spec| {
                spec.model.api = api;
                spec.model.base_url = base_url;
                spec.model.name = model_name;
            });
        let agent = stack.agent(setup).await.unwrap();
        let task = agent.task().await.unwrap();
        let end = task.complete_turn(1, "How is Oslo?").await.unwrap();
        assert_eq!(end.usage.model_calls, 2, "{name}");
        assert!(end.usage.input_tokens > 0, "{name}: {:?}", end.usage);
        let lines = task.lines().await.unwrap();
        assert!(
            lines.contains(&Line::request("get_weather", json!({"city": "Oslo"}))),
            "{name}: {lines:#?}"
        );
        assert_eq!(lines.last(), Some(&Line::agent("It is cold.")), "{name}: {lines:#?}");
        let error = task.fail_turn(2, "fail").await.unwrap();
        assert!(error.message.contains("no such adapter"), "{name}: {}", error.message);
    }
    // The proxy lists the models by itself.
    let mut violations = model.violations();
    violations.retain(|violation| !violation.ends_with("GET /v1/models"));
    assert_eq!(violations, Vec::<String>::new());
}

//! Models with the Chat Completions API, with aimock as the server.

use serde_json::json;
use steadfast_crds::model::ModelApi;
use steadfast_e2e::backend::stack::shared_stack;
use steadfast_testkit::{
    FakeModel,
    scripted_model::Reply,
    stack::{AgentSetup, Line, activity_tool, example},
};

#[tokio::test]
async fn a_tool_is_called_and_the_answer_streams() {
    let model = FakeModel::start(example("weather/model")).await.unwrap();
    let base_url = model.base_url();
    let setup = AgentSetup::new("chat-completions", |_| Reply::text("Nobody asks me."))
        .tool(
            "get_weather",
            activity_tool("get_weather", "weather-tools", &json!({"city": {"type": "string"}})),
        )
        .configure(move |spec| {
            spec.instructions = "You are a weather desk.".to_owned();
            spec.model.api = ModelApi::ChatCompletions;
            spec.model.base_url = base_url;
        });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    let end = task.complete_turn(1, "How is Oslo?").await.unwrap();
    assert_eq!(end.usage.model_calls, 2);
    let lines = task.lines().await.unwrap();
    assert_eq!(
        lines[..2],
        [
            Line::user("How is Oslo?"),
            Line::request("get_weather", json!({"city": "Oslo"}))
        ]
    );
    assert!(
        matches!(&lines[2], Line::ToolResponse { is_error: false, .. }),
        "{lines:#?}"
    );
    assert!(
        matches!(&lines[3], Line::Agent(text) if text.starts_with("It is 7 °C in Oslo")),
        "{lines:#?}"
    );
    let seen = viewer.until_turn_ended(1).await.unwrap();
    assert!(seen.count("text_delta") >= 2, "{}", seen.summary());
    assert_eq!(agent.model().journal().len(), 0);
}

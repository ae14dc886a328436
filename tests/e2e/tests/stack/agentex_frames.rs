//! The stream in the Agentex format, as a snapshot.

use serde_json::{Value, json};
use steadfast_crds::yaml;
use steadfast_e2e::{
    backend::stack::{TOOLS, shared_stack},
    snapshot::Placeholders,
};
use steadfast_testkit::{
    scripted_model::{Reply, Text},
    stack::{AgentSetup, activity_tool},
};

/// The last frame of the agent's answer.
fn ends_answer(frame: &Value) -> bool {
    let content = &frame["parent_task_message"]["content"];
    (frame["type"] == "done" || frame["type"] == "full") && content["type"] == "text" && content["author"] == "agent"
}

#[tokio::test]
async fn the_frames_of_a_turn_with_reasoning_and_a_tool_call() {
    let properties = json!({"text": {"type": "string"}});
    let setup = AgentSetup::new("agentex-frames", |request| match request.last_tool_output() {
        None => Reply::stream()
            .and_reasoning(Text::whole("I reverse it."))
            .and_call("reverse", &json!({"text": "stressed"})),
        Some(_) => Reply::text(Text::whole("It is desserts.")),
    })
    .tool("reverse", activity_tool("reverse", TOOLS, &properties));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let mut stream = task.agentex_frames().await.unwrap();
    task.complete_turn(1, "Reverse stressed.").await.unwrap();
    let mut frames = stream.until("the end of the answer", ends_answer).await.unwrap();
    // The task's own status is in the stream too, at a time that differs between runs.
    frames.retain(|frame| frame["type"] != "task_updated");
    let frames = Placeholders::default().in_json(frames.into());
    insta::assert_snapshot!(yaml::to_string(&frames).unwrap());
}

//! What a person and a client see when all goes well.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_events::{TurnStatus, Usage};
use steadfast_testkit::scripted_model::{Gate, Reply, Text, USAGE};
use steadfast_testkit::stack::{API_KEY, AgentSetup, Line, PATIENCE, TurnEnd, activity_tool, run_script};

use crate::shared::{python, stack};

fn completed(model_calls: u32) -> TurnEnd {
    let calls = u64::from(model_calls);
    TurnEnd {
        status: TurnStatus::Completed,
        error: None,
        usage: Usage {
            input_tokens: calls * USAGE.input,
            cached_input_tokens: calls * USAGE.cached,
            output_tokens: calls * USAGE.output,
            reasoning_tokens: calls * USAGE.reasoning,
            model_calls,
        },
    }
}

#[tokio::test]
async fn the_public_python_client_holds_a_conversation_with_a_tool_call() {
    let stack = stack().await;
    let setup = AgentSetup::new("weather", |request| match request.last_tool_output() {
        None => Reply::call("get_weather", &json!({"city": "Oslo"})),
        Some(output) => Reply::text(Text::words(format!("The tool said: {output}")).every(Duration::from_millis(20))),
    })
    .tool(
        "get_weather",
        activity_tool("get_weather", "weather-tools", &json!({"city": {"type": "string"}})),
    );
    let agent = stack.agent(setup).await.unwrap();

    let question = "How is the weather in Oslo?";
    let told: Value = run_script(&python("conversation.py"), &[&stack.url(), "weather", question])
        .await
        .unwrap();

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
            Line::user(question),
            Line::request("get_weather", json!({"city": "Oslo"})),
            Line::response("get_weather", report.clone()),
            Line::agent(&answer),
        ]
    );

    assert!(
        told["agent_names"].as_array().unwrap().contains(&json!("weather")),
        "{}",
        told["agent_names"]
    );
    assert_eq!(told["agent"]["name"], "weather");
    assert_eq!(told["same_task_for_same_name"], true);
    assert_eq!(
        (&told["event"]["task_id"], &told["event"]["agent_id"]),
        (&told["task"]["id"], &told["agent"]["id"])
    );
    assert_eq!(told["task_by_id"]["status"], "RUNNING");

    let stream = told["stream"].as_array().unwrap();
    assert_eq!(stream[0], json!({"type": "connected", "taskId": told["task"]["id"]}));
    let streamed: String = stream
        .iter()
        .filter_map(|frame| frame["delta"]["text_delta"].as_str())
        .collect();
    assert_eq!(streamed, answer);
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_prompt_edit_reaches_the_next_message_and_restarts_nothing() {
    let setup = AgentSetup::new("prompt-edit", |_| Reply::text("Yes."))
        .configure(|spec| spec.instructions = "Prompt A.".to_owned());
    let agent = stack().await.agent(setup).await.unwrap();
    let process = agent.worker().service().process();
    let task = agent.task().await.unwrap();

    assert_eq!(task.turn(1, "one").await.unwrap(), completed(1));
    agent.edit(|spec| spec.instructions = "Prompt B.".to_owned()).unwrap();
    assert_eq!(task.turn(2, "two").await.unwrap(), completed(1));
    agent.edit(|spec| spec.instructions = "Prompt A.".to_owned()).unwrap();
    assert_eq!(task.turn(3, "three").await.unwrap(), completed(1));

    let calls = agent.model().journal();
    let prompts: Vec<&str> = calls.iter().map(|call| call.request.instructions()).collect();
    assert_eq!(prompts, ["Prompt A.", "Prompt B.", "Prompt A."]);
    assert_eq!(agent.worker().service().process(), process);
    let key = format!("Bearer {API_KEY}");
    assert!(calls.iter().all(|call| call.request.header("authorization") == key));
    assert_eq!(calls[2].request.user_texts(), ["one", "two", "three"]);
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn instructions_are_a_template_over_the_task() {
    let setup = AgentSetup::new("template", |_| Reply::text("Yes."))
        .configure(|spec| spec.instructions = "Speak {{ params.language }} in task {{ task.id }}.".to_owned());
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent
        .task_with(json!({"params": {"language": "Norwegian"}}))
        .await
        .unwrap();
    assert_eq!(task.turn(1, "hello").await.unwrap(), completed(1));
    assert_eq!(
        agent.model().journal()[0].request.instructions(),
        format!("Speak Norwegian in task {}.", task.id())
    );
}

#[tokio::test]
async fn a_live_viewer_and_a_late_one_see_what_get_messages_says() {
    let setup = AgentSetup::new("viewers", |_| {
        Reply::stream()
            .and_reasoning("I think so.")
            .and_text(Text::words("Roses are red, violets are blue.").every(Duration::from_millis(60)))
    });
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let live = task.watch().await.unwrap();
    assert_eq!(task.turn(1, "A poem, please.").await.unwrap(), completed(1));
    let live = live
        .until("the end of the turn", |seen| seen.of_turn("turn_ended", 1).is_some())
        .await
        .unwrap();

    let expected = [
        Line::user("A poem, please."),
        Line::Reasoning(vec!["I think so.".to_owned()]),
        Line::agent("Roses are red, violets are blue."),
    ];
    assert_eq!(live.lines(), expected);
    assert!(live.count("text_delta") >= 5, "{}", live.summary());
    live.check_gapless().unwrap();
    let late = task.watch().await.unwrap();
    let late = late
        .until("the end of the turn", |seen| seen.of_turn("turn_ended", 1).is_some())
        .await
        .unwrap();
    assert_eq!(late.ids(), live.ids());
    assert_eq!(late.lines(), expected);
    assert_eq!(task.lines().await.unwrap(), expected);
}

#[tokio::test]
async fn the_same_idempotency_key_twice_is_one_turn() {
    let agent = stack()
        .await
        .agent(AgentSetup::new("same-key", |_| Reply::text("Once.")))
        .await
        .unwrap();
    let task = agent.task().await.unwrap();
    let first = task.send_with_key("key-1", "hello").await.unwrap().result().unwrap();
    let again = task.send_with_key("key-1", "hello").await.unwrap().result().unwrap();
    assert_eq!((&first["id"], &again["id"]), (&json!("key-1"), &json!("key-1")));
    assert_eq!(task.turn_ended(1).await.unwrap(), completed(1));
    assert_eq!(task.turn(2, "and now?").await.unwrap(), completed(1));
    let expected = [
        Line::user("hello"),
        Line::agent("Once."),
        Line::user("and now?"),
        Line::agent("Once."),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    assert_eq!(agent.model().journal().len(), 2);
}

#[tokio::test]
async fn messages_sent_during_a_turn_are_turns_of_their_own_in_order() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("queue", move |request| {
        Reply::text(Text::words(format!("You said {}.", request.last_user_text())).hold_after(1, &held))
    });
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(PATIENCE).await.unwrap();
    let (two, three) = tokio::join!(task.send("two"), async {
        task.send_with_key("the-third", "three").await.unwrap().result()
    });
    two.unwrap();
    three.unwrap();
    gate.open();
    assert_eq!(task.turn_ended(3).await.unwrap(), completed(1));

    // The two were sent at once: either may have come first, but each is answered before the next begins.
    let calls = agent.model().journal();
    let said = calls[2].request.user_texts();
    assert_eq!((calls.len(), said.len(), said[0].as_str()), (3, 3, "one"));
    let mut answers = Vec::new();
    for line in task.lines().await.unwrap() {
        if let Line::Agent(text) = line {
            answers.push(text);
        }
    }
    let expected: Vec<String> = said.iter().map(|text| format!("You said {text}.")).collect();
    assert_eq!(answers, expected);
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

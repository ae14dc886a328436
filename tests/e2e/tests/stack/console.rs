//! The console in a real browser, against the real gateway, workers and a scripted model. What the screen shows is
//! what `GET /messages` says, whatever happened in between.

use std::time::Duration;

use serde_json::json;
use steadfast_crds::agent::HandoffInput;
use steadfast_e2e::{
    backend::stack::{nonce_tool, shared_stack},
    browser::Browser,
    link::Link,
    scripts::call_nonce_then_repeat,
};
use steadfast_testkit::{
    RedisData,
    scripted_model::{Gate, Reply, Text},
    stack::{Agent, AgentSetup, Stack, TIMEOUT, Task},
    wait,
};

use crate::agents::handoff_to;

/// The task whose chat the browser shows.
async fn task_of(browser: &Browser, agent: &Agent) -> Task {
    let id = browser.task_id().await.unwrap();
    agent.client().existing_task(&agent.name(), &id)
}

pub(crate) async fn until_model_has_answered(agent: &Agent) {
    wait::until("the answer", TIMEOUT, async || {
        let journal = agent.model().journal();
        anyhow::ensure!(journal.iter().all(|call| call.ended_at.is_some()), "it is being sent");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_chat_with_a_tool_shows_the_messages_of_the_task_with_the_keyboard_alone() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("console-chat", call_nonce_then_repeat).tool("nonce", nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let browser = Browser::open(&stack.url()).await.unwrap();
    browser.fill("Search agents", "console-chat").await.unwrap();
    browser.see_within("[data-agent]", &agent.name()).await.unwrap();
    browser.check_accessibility().await.unwrap();
    // From the search to the one agent that is left.
    browser.press("Tab").await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see("None yet.").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser
        .fill(&format!("Message to {}", agent.name()), "green tea")
        .await
        .unwrap();
    browser.press("Enter").await.unwrap();

    let task = task_of(&browser, &agent).await;
    task.turn_completed(1).await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    assert_eq!(task.messages().await.unwrap().len(), 4);
    browser.see("Used").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.go(&format!("#/tasks/{}/timeline", task.id())).await.unwrap();
    browser.see("Model call 2").await.unwrap();
    browser.see_within("tbody", "nonce").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn a_reload_in_the_middle_of_an_answer_doubles_and_misses_nothing() {
    let stack = shared_stack().await;
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("console-reload", move |_| {
        let text = Text::words("One two three four five six seven eight nine ten.");
        let text = text.every(Duration::from_millis(20)).hold_after(5, &held);
        Reply::stream().and_reasoning("I count.").and_text(text)
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let browser = Browser::open(&format!("{}/#/tasks/{}", stack.url(), task.id()))
        .await
        .unwrap();
    browser.see("No messages yet.").await.unwrap();
    browser.fill("Message to", "Count.").await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see_within("[data-status=in_progress]", "four").await.unwrap();
    browser.reload().await.unwrap();
    browser.see_within("[data-status=in_progress]", "four").await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    gate.open();
    task.turn_completed(1).await.unwrap();
    browser.see_within("[data-status=done]", "ten.").await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    assert_eq!(agent.model().journal().len(), 1);
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn a_chat_goes_on_when_the_gateway_was_killed() {
    let stack = Stack::start().await.unwrap();
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("console-gateway", move |_| {
        let text = Text::words("One two three four five six seven eight nine ten.");
        Reply::text(text.every(Duration::from_millis(20)).hold_after(5, &held))
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let browser = Browser::open(&format!("{}/#/tasks/{}", stack.url(), task.id()))
        .await
        .unwrap();
    browser.fill("Message to", "Count.").await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see_within("[data-status=in_progress]", "four").await.unwrap();
    stack.gateway().kill().await.unwrap();
    // The answer goes on while nobody serves it.
    gate.open();
    until_model_has_answered(&agent).await;
    stack.gateway().launch().await.unwrap();
    browser.see_within("[data-status=done]", "ten.").await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.fill("Message to", "Again.").await.unwrap();
    browser.press("Enter").await.unwrap();
    task.turn_completed(2).await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.check_behaviour().await.unwrap();
}

/// An agent whose answer is held in its middle until the gate is open, and a browser that shows the chat so far.
async fn in_the_middle_of_an_answer(stack: &Stack, name: &str, gate: &Gate) -> (Agent, Task, Browser) {
    in_the_middle_of_an_answer_at(&stack.url(), stack, name, gate).await
}

/// The same with a browser that reaches the gateway at this URL.
async fn in_the_middle_of_an_answer_at(url: &str, stack: &Stack, name: &str, gate: &Gate) -> (Agent, Task, Browser) {
    let held = gate.clone();
    let setup = AgentSetup::new(name, move |_| {
        let text = Text::words("One two three four five six seven eight nine ten.");
        Reply::text(text.every(Duration::from_millis(20)).hold_after(5, &held))
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Count.").await.unwrap();
    let browser = Browser::open(&format!("{}/#/tasks/{}", url, task.id())).await.unwrap();
    browser.see_within("[data-status=in_progress]", "four").await.unwrap();
    (agent, task, browser)
}

#[tokio::test]
async fn a_chat_goes_on_when_the_network_was_lost() {
    let gate = Gate::closed();
    let stack = shared_stack().await;
    let link = Link::to(&stack.url()).await.unwrap();
    let (_agent, task, browser) = in_the_middle_of_an_answer_at(&link.url(), stack, "console-network", &gate).await;
    link.lose();
    gate.open();
    task.turn_completed(1).await.unwrap();
    browser.see("nothing is lost").await.unwrap();
    browser.check_accessibility().await.unwrap();
    link.restore();
    browser.see_within("[data-status=done]", "ten.").await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn a_turn_that_the_user_stops_keeps_its_text_and_the_next_message_is_answered() {
    let gate = Gate::closed();
    let (_agent, task, browser) = in_the_middle_of_an_answer(shared_stack().await, "console-stop", &gate).await;
    browser.click("button", "Stop turn").await.unwrap();
    browser
        .see_within("[role=log]", "The turn was interrupted")
        .await
        .unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    gate.open();
    browser.fill("Message to", "Again.").await.unwrap();
    browser.press("Enter").await.unwrap();
    task.turn_completed(2).await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.click("button", "End…").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser
        .click("button", "Complete: after the running turn")
        .await
        .unwrap();
    browser
        .see_within("[role=log]", "The task has ended: completed")
        .await
        .unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn an_answer_goes_on_when_its_worker_was_killed() {
    let gate = Gate::closed();
    let stack = shared_stack().await;
    let (agent, task, browser) = in_the_middle_of_an_answer(stack, "console-worker", &gate).await;
    agent.worker().kill().await.unwrap();
    gate.open();
    agent.worker().launch().await.unwrap();
    task.turn_completed(1).await.unwrap();
    browser.see_within("[data-status=done]", "ten.").await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn an_answer_goes_on_when_redis_lost_everything() {
    let gate = Gate::closed();
    let stack = Stack::start().await.unwrap();
    let (_agent, task, browser) = in_the_middle_of_an_answer(&stack, "console-redis", &gate).await;
    stack.redis().kill().await.unwrap();
    stack.redis().restart(RedisData::Empty).await.unwrap();
    gate.open();
    browser.see_within("[data-status=done]", "ten.").await.unwrap();
    task.turn_completed(1).await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn a_handoff_and_a_guardrail_are_shown_where_they_happened() {
    let stack = shared_stack().await;
    let second = AgentSetup::new("console-second", |request| {
        Reply::text(format!("Hola: {}", request.last_user_text()))
    });
    let second = stack.agent(second).await.unwrap();
    let first = AgentSetup::new("console-first", |_| {
        Reply::stream().and_call("transfer_to_console_second", &json!({}))
    })
    .configure(|spec| {
        spec.handoffs = vec![handoff_to("console-second", HandoffInput::All)];
        let guardrails = json!({"input": [{"name": "short", "cel": "text.size() > 20"}]});
        spec.guardrails = serde_json::from_value(guardrails).unwrap();
    });
    let first = stack.agent(first).await.unwrap();
    let task = first.task().await.unwrap();
    task.fail_turn(1, "A text that is much too long for it.").await.unwrap();
    task.complete_turn(2, "Buenos").await.unwrap();
    let browser = Browser::open(&format!("{}/#/tasks/{}", stack.url(), task.id()))
        .await
        .unwrap();
    browser
        .see_within("[role=log]", "The guardrail short stopped the message")
        .await
        .unwrap();
    browser
        .see_within("[role=log]", "The turn failed: guardrail_tripped")
        .await
        .unwrap();
    browser.see_within("[role=log]", "handed off to").await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.check_behaviour().await.unwrap();
    drop(second);
}

#[tokio::test]
async fn markup_and_links_of_a_model_do_nothing_but_show() {
    const ANSWER: &str = "<script>alert(1)</script> <img src=x onerror=alert(2)> <iframe src=https://example.com></iframe>\n\n\
        ![a picture](https://example.com/picture.png) [a link](https://example.com/page) [another](javascript:alert(3)) \
        [here](/#/approvals)\n\n<style>body{display:none}</style><form action=https://example.com><button>go</button></form>";
    let stack = shared_stack().await;
    let agent = stack
        .agent(AgentSetup::new("console-markup", |_| Reply::text(ANSWER)))
        .await
        .unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Show me.").await.unwrap();
    let browser = Browser::open(&format!("{}/#/tasks/{}", stack.url(), task.id()))
        .await
        .unwrap();
    for text in [
        "<script>alert(1)</script>",
        "onerror=alert(2)",
        "<iframe",
        "<style>",
        "image: a picture",
    ] {
        browser.see_within("[role=log]", text).await.unwrap();
    }
    let made = "[role=log] :is(script, img, iframe, style, form[action], object, embed)";
    assert_eq!(browser.count(made).await.unwrap(), 0);
    let links = "[role=log] a[href^='https://example.com/'][target=_blank][rel~=noopener]";
    assert_eq!(browser.count(links).await.unwrap(), 2);
    assert_eq!(browser.count("[role=log] [data-message-id] a").await.unwrap(), 2);
    browser.check_behaviour().await.unwrap();
}

//! What the console makes of what tools, agents and models answer: tables, steps that were undone, asked agents, refusals
//! and failures with what to do next.

use serde_json::json;
use steadfast_crds::{agent_revision::RevisionAgent, names::agent_task_queue};
use steadfast_e2e::{backend::stack::shared_stack, browser::Browser, scripts::call_then_repeat};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, INSTALL, NAMESPACE, Task},
};

use crate::{
    console_keyboard::press_on,
    ledger::Ledger,
    steps::{bank, move_money},
};

async fn open(task: &Task) -> Browser {
    let page = format!("{}/#/tasks/{}", shared_stack().await.url(), task.id());
    Browser::open(&page).await.unwrap()
}

async fn is_well(browser: &Browser, task: &Task) {
    browser.until_it_shows_the_messages_of(task).await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_json_is_a_table_and_its_json_is_one_press_away() {
    const ANSWER: &str = r#"[{"city": "Oslo", "degrees": 4}, {"city": "Bergen", "degrees": 7}]"#;
    let setup = AgentSetup::new("console-table", |_| Reply::text(ANSWER));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Where is it warm?").await.unwrap();
    let browser = open(&task).await;
    browser.see_within("[role=log] table", "degrees").await.unwrap();
    browser.see_within("[role=log] table", "Bergen").await.unwrap();
    is_well(&browser, &task).await;
    press_on(&browser, "Show as JSON").await;
    browser.see_within("[role=log]", "\"Bergen\"").await.unwrap();
}

#[tokio::test]
async fn a_failed_step_says_what_was_undone() {
    let ledger = Ledger::start().await;
    let agent = bank("console-steps", move_money(&ledger, &ledger), "closed").await;
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Move it.").await.unwrap();
    let browser = open(&task).await;
    // A card of a call that failed is open.
    browser
        .see_within("[role=log] dl div:has-text('Failed:')", "deposit")
        .await
        .unwrap();
    browser
        .see_within("[role=log] dl div:has-text('Undone:')", "withdraw")
        .await
        .unwrap();
    is_well(&browser, &task).await;
}

#[tokio::test]
async fn an_asked_agent_is_seen_with_what_it_said() {
    let stack = shared_stack().await;
    let helper = AgentSetup::new("console-helper", |_| Reply::text("It is made of basalt."));
    let _helper = stack.agent(helper).await.unwrap();
    let script = call_then_repeat("ask_helper", json!({"input": "the moon"}));
    let setup = AgentSetup::new("console-asking", script).configure(|spec| {
        spec.agents = vec![RevisionAgent {
            name: "ask_helper".to_owned(),
            agent: "console-helper".to_owned(),
            namespace: None,
            description: "Looks things up.".to_owned(),
            task_queue: agent_task_queue(INSTALL, NAMESPACE, "console-helper"),
            approval: None,
        }];
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "What is the moon made of?").await.unwrap();
    let browser = open(&task).await;
    press_on(&browser, "Asked the agent console-helper").await;
    browser
        .see_within("[role=log] details:has(> summary > strong)", "basalt")
        .await
        .unwrap();
    is_well(&browser, &task).await;
}

#[tokio::test]
async fn a_failure_says_what_to_do_next_and_a_refusal_is_shown_as_one() {
    let setup = AgentSetup::new("console-failures", |request| match request.last_user_text().as_str() {
        "Fail." => Reply::error(401, "invalid_api_key", "Incorrect API key provided."),
        _ => Reply::stream().and_refusal("I cannot help with that."),
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.fail_turn(1, "Fail.").await.unwrap();
    task.send("Refuse.").await.unwrap();
    task.turn_ended(2).await.unwrap();
    let browser = open(&task).await;
    browser
        .see_within("[role=log]", "The turn failed: model_authentication")
        .await
        .unwrap();
    browser
        .see_within("[role=log]", "Whoever runs the Agent corrects the Secret")
        .await
        .unwrap();
    browser
        .see_within("[role=log] [data-message-id]", "I cannot help with that.")
        .await
        .unwrap();
    is_well(&browser, &task).await;
}

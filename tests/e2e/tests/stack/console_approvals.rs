//! Approvals in the console: decided in the inbox and in the chat, compared with the call before, answered with a form,
//! and told of while nobody looks.

use serde_json::{Value, json};
use steadfast_e2e::{
    backend::stack::{guarded_nonce_tool, shared_stack},
    browser::Browser,
    scripts::{call_nonce_then_repeat, call_then_repeat},
};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, Stack},
};

use crate::console_keyboard::press_on;

#[tokio::test]
async fn calls_are_approved_in_the_inbox_and_rejected_in_the_chat() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("console-approvals", call_nonce_then_repeat).tool("nonce", guarded_nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let (approved, rejected) = (agent.task().await.unwrap(), agent.task().await.unwrap());
    approved.send("black tea").await.unwrap();
    rejected.send("white tea").await.unwrap();
    let ids = [&approved, &rejected].map(async |task| {
        let pending = task.until_approval_pending().await.unwrap();
        pending.id().unwrap().to_owned()
    });
    let [first, second] = ids;
    let (first, second) = (first.await, second.await);
    let card = |id: &str| format!("[data-approval-id='{id}']");

    let browser = Browser::open(&format!("{}/#/approvals", stack.url())).await.unwrap();
    browser.see_within(&card(&first), "black tea").await.unwrap();
    browser.see_within(&card(&second), "white tea").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.click_within(&card(&first), "button", "Approve").await.unwrap();
    browser.see_within(&card(&first), "Approved").await.unwrap();
    approved.turn_completed(1).await.unwrap();

    browser.go(&format!("#/tasks/{}", rejected.id())).await.unwrap();
    browser.see_within(&card(&second), "white tea").await.unwrap();
    browser.until_title("(").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.fill("Reason", "no milk").await.unwrap();
    browser.click_within(&card(&second), "button", "Reject").await.unwrap();
    browser.see_within(&card(&second), "no milk").await.unwrap();
    rejected.turn_completed(1).await.unwrap();
    browser.until_it_shows_the_messages_of(&rejected).await.unwrap();
    browser.go(&format!("#/tasks/{}", approved.id())).await.unwrap();
    browser.until_it_shows_the_messages_of(&approved).await.unwrap();
    browser.see_within(&card(&first), "Approved").await.unwrap();
    assert!(approved.pending_approvals().await.unwrap().is_empty());
    assert!(rejected.pending_approvals().await.unwrap().is_empty());
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn the_arguments_are_compared_with_those_of_the_call_before() {
    let setup = AgentSetup::new("console-changes", |request| match request.last_tool_output() {
        None => {
            let text = format!("Dear Alice,\nwe send {}.\nYours", request.last_user_text());
            Reply::call("nonce", &json!({"of": text}))
        }
        Some(_) => Reply::text("Done."),
    });
    let setup = setup.tool("nonce", guarded_nonce_tool());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("one kettle").await.unwrap();
    let first = task.until_approval_pending().await.unwrap();
    first.approve("").await.unwrap();
    task.turn_completed(1).await.unwrap();
    task.send("two kettles").await.unwrap();
    let second = task.until_approval_pending().await.unwrap();

    let page = format!("{}/#/tasks/{}", shared_stack().await.url(), task.id());
    let browser = Browser::open(&page).await.unwrap();
    let card = format!("[data-approval-id='{}']", second.id().unwrap());
    browser.see_within(&card, "we send two kettles.").await.unwrap();
    browser
        .click_within(&card, "button", "Show changes since the last call")
        .await
        .unwrap();
    browser.see_within(&card, "- \"we send one kettle").await.unwrap();
    browser.see_within(&card, "+ \"we send two kettles").await.unwrap();
    assert_eq!(browser.count(&format!("{card} :is(del, ins)")).await.unwrap(), 2);
    browser.check_accessibility().await.unwrap();
    browser.click_within(&card, "button", "Approve").await.unwrap();
    task.turn_completed(2).await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn a_question_with_a_form_is_answered_with_the_keyboard_alone() {
    let form = json!({
        "type": "object",
        "properties": {
            "street": {"type": "string", "title": "Street", "maxLength": 80},
            "floor": {"type": "integer", "title": "Floor", "maximum": 40},
        },
        "required": ["street", "floor"],
    });
    let tool = json!({
        "description": "Asks for the address.",
        "parameters": {"type": "object", "properties": {"why": {"type": "string"}}},
        "human": {"prompt": "Where to?", "form": form, "timeout": "1h"},
    });
    let script = call_then_repeat("ask_address", json!({"why": "delivery"}));
    let setup = AgentSetup::new("console-form", script).tool("ask_address", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Send it.").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    let card = format!("[data-approval-id='{}']", approval.id().unwrap());
    let page = format!("{}/#/approvals", shared_stack().await.url());
    let browser = Browser::open(&page).await.unwrap();
    browser.see_within(&card, "Where to?").await.unwrap();
    // It counts down.
    browser.see_within(&card, "expires in 59 min").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.tab_to_within(&card, "Street").await.unwrap();
    browser.write("Storgata 1").await.unwrap();
    browser.tab_to_within(&card, "Floor").await.unwrap();
    browser.write("41").await.unwrap();
    press_on(&browser, "Send the answer").await;
    // What cannot be an answer is told, and nothing is sent.
    browser.see_within(&card, "Floor: is at most 40").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.tab_to_within(&card, "Floor").await.unwrap();
    browser.press("Control+A").await.unwrap();
    browser.write("4").await.unwrap();
    press_on(&browser, "Send the answer").await;
    browser.see_within(&card, "Approved").await.unwrap();
    task.turn_completed(1).await.unwrap();
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(output["answer"], json!({"street": "Storgata 1", "floor": 4}));
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn who_looks_elsewhere_is_told_of_a_new_approval_and_not_of_its_arguments() {
    let setup = AgentSetup::new("console-notify", call_nonce_then_repeat).tool("nonce", guarded_nonce_tool());
    let stack = Stack::start().await.unwrap();
    let agent = stack.agent(setup).await.unwrap();
    let browser = Browser::open(&stack.url()).await.unwrap();
    browser.see("console-notify").await.unwrap();
    browser.hide().await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("a secret").await.unwrap();
    task.until_approval_pending().await.unwrap();
    browser
        .until_notified(&["console-notify waits for your approval: nonce"])
        .await
        .unwrap();
    browser.until_title("(1)").await.unwrap();
}

//! What people do in the console, with the keyboard alone: nothing here is clicked, filled or scrolled by a script. axe
//! looks at each page on the way.

use std::time::Duration;

use serde_json::json;
use steadfast_crds::agent::HandoffInput;
use steadfast_e2e::{
    backend::stack::{guarded_nonce_tool, nonce_tool, shared_stack},
    browser::Browser,
    scripts::call_nonce_then_repeat,
};
use steadfast_testkit::{
    scripted_model::{Gate, Reply, Text},
    stack::AgentSetup,
};

use crate::{
    agents::handoff_to,
    console_attachments::{kinds, picture},
};

pub(crate) async fn press_on(browser: &Browser, name: &str) {
    browser.tab_to(name).await.unwrap();
    browser.press("Enter").await.unwrap();
}

pub(crate) async fn write_message(browser: &Browser, text: &str) {
    browser.tab_to("Message to").await.unwrap();
    browser.write(text).await.unwrap();
    browser.press("Enter").await.unwrap();
}

#[tokio::test]
async fn a_chat_is_found_begun_interrupted_and_ended_with_the_keyboard_alone() {
    let stack = shared_stack().await;
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("keyboard-chat", move |request| {
        if request.last_user_text().starts_with("Count") {
            let text = Text::words("One two three four five six seven eight nine ten.");
            return Reply::text(text.every(Duration::from_millis(20)).hold_after(5, &held));
        }
        call_nonce_then_repeat(request)
    });
    let agent = stack.agent(setup.tool("nonce", nonce_tool())).await.unwrap();
    let browser = Browser::open(&stack.url()).await.unwrap();
    browser.see("keyboard-chat").await.unwrap();
    browser.tab_to("Search agents").await.unwrap();
    browser.write("keyboard-chat").await.unwrap();
    press_on(&browser, &agent.name()).await;
    browser.see("None yet.").await.unwrap();
    write_message(&browser, "green tea").await;
    let id = browser.task_id().await.unwrap();
    let task = agent.client().existing_task(&agent.name(), &id);
    task.turn_completed(1).await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();

    press_on(&browser, "timeline").await;
    browser.see("Model call 2").await.unwrap();
    browser.check_accessibility().await.unwrap();
    press_on(&browser, "Chat").await;
    browser.until_it_shows_the_messages_of(&task).await.unwrap();

    write_message(&browser, "Count.").await;
    browser.see_within("[data-status=in_progress]", "four").await.unwrap();
    press_on(&browser, "Stop turn").await;
    browser
        .see_within("[role=log]", "The turn was interrupted")
        .await
        .unwrap();
    gate.open();
    press_on(&browser, "End…").await;
    browser.check_accessibility().await.unwrap();
    press_on(&browser, "Complete").await;
    browser
        .see_within("[role=log]", "The task has ended: completed")
        .await
        .unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn files_are_chosen_removed_sent_and_saved_with_the_keyboard_alone() {
    let stack = shared_stack().await;
    let agent = stack.agent(AgentSetup::new("keyboard-files", kinds)).await.unwrap();
    let browser = Browser::open(&format!("{}/#/agents/{}", stack.url(), agent.name()))
        .await
        .unwrap();
    browser.see("None yet.").await.unwrap();
    let picture = picture();
    browser.tab_to("Attach files").await.unwrap();
    let files: [(&str, &[u8]); 3] = [("tea.png", &picture), ("tea.txt", b"Green."), ("mistake.txt", b"No.")];
    browser.choose("Enter", &files).await.unwrap();
    press_on(&browser, "Remove mistake.txt").await;
    browser.check_accessibility().await.unwrap();
    write_message(&browser, "See:").await;
    let id = browser.task_id().await.unwrap();
    let task = agent.client().existing_task(&agent.name(), &id);
    task.turn_completed(1).await.unwrap();
    browser.see("Got input_text, input_image, input_file.").await.unwrap();
    browser.until_pictures(&["tea.png"]).await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    press_on(&browser, "Save tea.txt").await;
    browser.until_downloaded("tea.txt").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn calls_are_approved_and_rejected_with_the_keyboard_alone() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("keyboard-approvals", call_nonce_then_repeat).tool("nonce", guarded_nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let (approved, rejected) = (agent.task().await.unwrap(), agent.task().await.unwrap());
    let mut cards = Vec::new();
    for (task, text) in [(&approved, "black tea"), (&rejected, "white tea")] {
        task.send(text).await.unwrap();
        let pending = task.until_approval_pending().await.unwrap();
        cards.push(format!("[data-approval-id='{}']", pending.id().unwrap()));
    }
    let browser = Browser::open(&stack.url()).await.unwrap();
    browser.until_title("(").await.unwrap();
    press_on(&browser, "Approvals").await;
    browser.see_within(&cards[0], "black tea").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.tab_to_within(&cards[0], "Approve").await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see_within(&cards[0], "Approved").await.unwrap();
    browser.tab_to_within(&cards[1], "Reason").await.unwrap();
    browser.write("no milk").await.unwrap();
    browser.tab_to_within(&cards[1], "Reject").await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see_within(&cards[1], "no milk").await.unwrap();
    for task in [&approved, &rejected] {
        task.turn_completed(1).await.unwrap();
        assert!(task.pending_approvals().await.unwrap().is_empty());
    }
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn a_guardrail_and_a_handoff_are_met_and_read_with_the_keyboard_alone() {
    let stack = shared_stack().await;
    let second = AgentSetup::new("keyboard-second", |request| {
        Reply::text(format!("Hola: {}", request.last_user_text()))
    });
    let _second = stack.agent(second).await.unwrap();
    let first = AgentSetup::new("keyboard-first", |_| {
        Reply::stream().and_call("transfer_to_keyboard_second", &json!({}))
    })
    .configure(|spec| {
        spec.handoffs = vec![handoff_to("keyboard-second", HandoffInput::All)];
        let guardrails = json!({"input": [{"name": "short", "cel": "text.size() > 20"}]});
        spec.guardrails = serde_json::from_value(guardrails).unwrap();
    });
    let first = stack.agent(first).await.unwrap();
    let task = first.task().await.unwrap();
    let browser = Browser::open(&format!("{}/#/tasks/{}", stack.url(), task.id()))
        .await
        .unwrap();
    browser.see("No messages yet.").await.unwrap();
    write_message(&browser, "A text that is much too long for it.").await;
    browser
        .see_within("[role=log]", "The guardrail short stopped the message")
        .await
        .unwrap();
    write_message(&browser, "Buenos").await;
    browser.see_within("[role=log]", "handed off to").await.unwrap();
    task.turn_completed(2).await.unwrap();
    browser.until_it_shows_the_messages_of(&task).await.unwrap();
    // The conversation itself takes the keyboard, so that it scrolls with the arrows.
    browser.tab_to("Conversation").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.check_behaviour().await.unwrap();
}

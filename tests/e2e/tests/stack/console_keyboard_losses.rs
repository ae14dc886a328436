//! A person with a keyboard alone sends, reads and goes on while the page is loaded again and while services die. As in
//! `console_keyboard`, a script neither clicks nor fills.

use std::time::Duration;

use steadfast_e2e::{backend::stack::shared_stack, browser::Browser};
use steadfast_testkit::{
    RedisData,
    scripted_model::{Gate, Reply, Text},
    stack::{Agent, AgentSetup, Stack, Task},
};

use crate::{
    console::until_model_has_answered,
    console_keyboard::{press_on, write_message},
};

/// An answer that stops in its middle until the gate is open, to a message that the keyboard has sent.
struct InTheMiddle {
    agent: Agent,
    task: Task,
    browser: Browser,
    gate: Gate,
}

impl InTheMiddle {
    async fn start(stack: &Stack, name: &str) -> Self {
        let gate = Gate::closed();
        let held = gate.clone();
        let setup = AgentSetup::new(name, move |_| {
            let text = Text::words("One two three four five six seven eight nine ten.");
            Reply::text(text.every(Duration::from_millis(20)).hold_after(5, &held))
        });
        let agent = stack.agent(setup).await.unwrap();
        let task = agent.task().await.unwrap();
        let browser = Browser::open(&format!("{}/#/tasks/{}", stack.url(), task.id()))
            .await
            .unwrap();
        browser.see("No messages yet.").await.unwrap();
        write_message(&browser, "Count.").await;
        browser.see_within("[data-status=in_progress]", "four").await.unwrap();
        Self {
            agent,
            task,
            browser,
            gate,
        }
    }

    /// The answer is there, and the next message is sent, answered and read; and so is the timeline, which says this.
    async fn goes_on(self, timeline: &str) {
        let Self { task, browser, .. } = &self;
        browser.see_within("[data-status=done]", "ten.").await.unwrap();
        task.turn_completed(1).await.unwrap();
        browser.until_it_shows_the_messages_of(task).await.unwrap();
        write_message(browser, "Again.").await;
        task.turn_completed(2).await.unwrap();
        browser.until_it_shows_the_messages_of(task).await.unwrap();
        browser.tab_to("Conversation").await.unwrap();
        for key in ["Home", "End"] {
            browser.press(key).await.unwrap();
        }
        press_on(browser, "timeline").await;
        browser.see(timeline).await.unwrap();
        browser.check_accessibility().await.unwrap();
        browser.check_behaviour().await.unwrap();
    }
}

#[tokio::test]
async fn a_reload_in_the_middle_of_an_answer_is_survived_with_the_keyboard_alone() {
    let held = InTheMiddle::start(shared_stack().await, "keyboard-reload").await;
    held.browser.reload().await.unwrap();
    held.browser
        .see_within("[data-status=in_progress]", "four")
        .await
        .unwrap();
    held.browser.until_it_shows_the_messages_of(&held.task).await.unwrap();
    // What is sent meanwhile waits for its turn, and says so.
    write_message(&held.browser, "And then?").await;
    held.browser.see_within("[role=log]", "queued").await.unwrap();
    held.browser.check_accessibility().await.unwrap();
    held.gate.open();
    held.task.turn_completed(2).await.unwrap();
    held.browser.until_it_shows_the_messages_of(&held.task).await.unwrap();
    assert_eq!(held.agent.model().journal().len(), 2);
    // A screen reader is told of whole answers.
    held.browser
        .see_within("main", "keyboard-reload: One two three")
        .await
        .unwrap();
    held.browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn a_killed_gateway_is_survived_with_the_keyboard_alone() {
    let stack = Stack::start().await.unwrap();
    let held = InTheMiddle::start(&stack, "keyboard-gateway").await;
    stack.gateway().kill().await.unwrap();
    held.gate.open();
    until_model_has_answered(&held.agent).await;
    stack.gateway().launch().await.unwrap();
    held.goes_on("Turn 2").await;
}

#[tokio::test]
async fn a_killed_worker_is_survived_with_the_keyboard_alone() {
    let held = InTheMiddle::start(shared_stack().await, "keyboard-worker").await;
    held.agent.worker().kill().await.unwrap();
    held.gate.open();
    held.agent.worker().launch().await.unwrap();
    held.goes_on("Turn 2").await;
}

#[tokio::test]
async fn a_lost_redis_is_survived_with_the_keyboard_alone() {
    let stack = Stack::start().await.unwrap();
    let held = InTheMiddle::start(&stack, "keyboard-redis").await;
    stack.redis().kill().await.unwrap();
    stack.redis().restart(RedisData::Empty).await.unwrap();
    held.gate.open();
    held.goes_on("What these turns did is no longer known").await;
}

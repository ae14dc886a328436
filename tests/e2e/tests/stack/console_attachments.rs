//! Images and files in the console: chosen, sent, shown after a reload, and refused.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use steadfast_e2e::{backend::stack::shared_stack, browser::Browser};
use steadfast_testkit::{
    scripted_model::{ModelRequest, Reply},
    stack::AgentSetup,
};

/// A picture of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

pub(crate) fn picture() -> Vec<u8> {
    BASE64_STANDARD.decode(PIXEL).unwrap()
}

/// Says of what kinds the parts of the last message are.
pub(crate) fn kinds(request: &ModelRequest) -> Reply {
    let parts = request.input().iter().rev().find_map(|item| item["content"].as_array());
    let kinds: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter_map(|part| part["type"].as_str())
        .collect();
    Reply::text(format!("Got {}.", kinds.join(", ")))
}

#[tokio::test]
async fn images_and_files_are_sent_shown_and_refused() {
    let stack = shared_stack().await;
    let agent = stack
        .agent(AgentSetup::new("console-attachments", kinds))
        .await
        .unwrap();
    let page = format!("{}/#/agents/{}", stack.url(), agent.name());
    let browser = Browser::open(&page).await.unwrap();
    browser.see("None yet.").await.unwrap();
    let picture = picture();
    browser
        .attach(&[("tea.png", &picture), ("tea.txt", b"Green.")])
        .await
        .unwrap();
    browser.attach(&[("mistake.txt", b"No.")]).await.unwrap();
    browser.click("button", "Remove mistake.txt").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.fill("Message to", "See:").await.unwrap();
    browser.press("Enter").await.unwrap();

    let id = browser.task_id().await.unwrap();
    let task = agent.client().existing_task(&agent.name(), &id);
    task.turn_completed(1).await.unwrap();
    for _ in 0..2 {
        browser.see("Got input_text, input_image, input_file.").await.unwrap();
        browser.until_pictures(&["tea.png"]).await.unwrap();
        browser.see("tea.txt").await.unwrap();
        browser.until_it_shows_the_messages_of(&task).await.unwrap();
        browser.check_accessibility().await.unwrap();
        // What came over the stream is there after a reload too.
        browser.reload().await.unwrap();
    }

    // The gateway says what it does not take, and the message is not lost.
    browser.attach(&[("tea.bin", &[0, 1, 2, 3])]).await.unwrap();
    browser.fill("Message to", "And this?").await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see("cannot be sent").await.unwrap();
    browser.see("Send again").await.unwrap();
    let sent = task.messages().await.unwrap();
    assert!(!json!(sent).to_string().contains("And this?"), "{sent:?}");
    browser.check_behaviour().await.unwrap();
}

//! The pictures of the documentation: a chat that waits for an approval, light, dark, and on a phone; the agents, and a
//! timeline. Each test run takes them, and sees that a person finds what there is to do; `record` puts them into
//! `docs/recording`.

use std::path::Path;

use serde_json::json;
use steadfast_e2e::browser::Browser;
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, Stack, activity_tool},
    tools::workspace,
};

const QUESTION: &str = "Send Alice what we owe her for the kettles.";
const DESCRIPTION: &str = "Finds invoices, and pays them once somebody has approved it.";
/// Names of the pictures, width and height of the window, and whether it is dark.
const PICTURES: [(&str, u32, u32, bool); 3] = [
    ("console-light", 1000, 840, false),
    ("console-dark", 1000, 840, true),
    ("console-phone", 390, 844, false),
];

fn bank() -> AgentSetup {
    let properties = json!({"to": {"type": "string"}, "amount": {"type": "number"}, "reason": {"type": "string"}});
    let mut transfer = activity_tool("transfer", "nobody", &properties);
    transfer["approval"] = json!({"required": true});
    let setup = AgentSetup::new("bank", |_| {
        let call = json!({"to": "alice", "amount": 120, "reason": "Invoice 2026-114, two kettles"});
        Reply::stream()
            .and_reasoning("The invoice says 120. A transfer needs an approval.")
            .and_text(
                "I found the **open invoice** of Alice: `2026-114`, two kettles, 120 euros. This is the transfer:",
            )
            .and_call("transfer", &call)
    });
    setup
        .tool("transfer", transfer)
        .configure(|spec| DESCRIPTION.clone_into(&mut spec.description))
}

async fn take(directory: &Path) {
    let stack = Stack::start().await.unwrap();
    let agent = stack.agent(bank()).await.unwrap();
    let parameters = json!({"task_metadata": {"display_name": QUESTION}});
    let task = agent.task_with(parameters).await.unwrap();
    task.send(QUESTION).await.unwrap();
    task.until_approval_pending().await.unwrap();
    let browser = Browser::open(&format!("{}/#/tasks/{}", stack.url(), task.id()))
        .await
        .unwrap();
    browser.until_title("(1)").await.unwrap();
    for (name, width, height, dark) in PICTURES {
        browser.view(width, height, dark).await.unwrap();
        browser.see("May this call run?").await.unwrap();
        // Nobody has to look for it.
        for button in ["Approve", "Reject"] {
            browser.until_in_view("button", button).await.unwrap();
        }
        browser
            .screenshot(&directory.join(format!("{name}.png")))
            .await
            .unwrap();
        browser.check_accessibility().await.unwrap();
        browser.check_width().await.unwrap();
    }
    let timeline = format!("#/tasks/{}/timeline", task.id());
    for (page, text) in [
        ("#/agents", "1 task waits for a decision"),
        ("#/approvals", "bank asked at"),
        ("#/fleet", "Counted by this replica"),
        (timeline.as_str(), "Approval of transfer"),
    ] {
        browser.go(page).await.unwrap();
        browser.see_within("main", text).await.unwrap();
        browser.check_width().await.unwrap();
        browser.check_accessibility().await.unwrap();
        browser.check_reduced_motion().await.unwrap();
    }
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn the_pictures_of_the_documentation_show_what_there_is_to_do() {
    take(Path::new(env!("CARGO_TARGET_TMPDIR"))).await;
}

#[tokio::test]
#[ignore = "changes docs/recording"]
async fn record() {
    take(&workspace::root().join("docs/recording")).await;
}

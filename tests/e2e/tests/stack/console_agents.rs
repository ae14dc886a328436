//! The list of agents in the console: what they are made of, what they do now, and how one is found.

use steadfast_e2e::{
    backend::stack::{guarded_nonce_tool, tools_worker},
    browser::Browser,
    scripts::call_nonce_then_repeat,
};
use steadfast_testkit::{
    scripted_model::{Gate, Reply},
    stack::{AgentSetup, Stack},
};

fn card(agent: &str) -> String {
    format!("[data-agent='{agent}']")
}

#[tokio::test]
async fn an_agent_shows_its_model_its_tools_and_the_tasks_that_run_and_wait() {
    let stack = Stack::start().await.unwrap();
    let _tools = tools_worker(&stack);
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("busy", move |request| match request.last_user_text().as_str() {
        "Work." => Reply::stream().and_text("Hm").and_hold(&held),
        _ => call_nonce_then_repeat(request),
    });
    let setup = setup.tool("nonce", guarded_nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let elsewhere = AgentSetup::new("far", |_| Reply::text("Yes.")).in_namespace("elsewhere");
    let _elsewhere = stack.agent(elsewhere).await.unwrap();
    let browser = Browser::open(&stack.url()).await.unwrap();
    let busy = card("busy");
    browser.see_within(&busy, "ready").await.unwrap();
    browser.see_within(&busy, "nonce").await.unwrap();
    let model = agent
        .client()
        .get("/agents/name/busy")
        .await
        .unwrap()
        .success()
        .unwrap();
    let model = model["model"].as_str().unwrap();
    browser.see_within(&busy, model).await.unwrap();

    // The list is live: nothing is pressed.
    let (works, waits) = (agent.task().await.unwrap(), agent.task().await.unwrap());
    works.send("Work.").await.unwrap();
    browser.see_within(&busy, "1 task runs").await.unwrap();
    waits.send("tea").await.unwrap();
    let approval = waits.until_approval_pending().await.unwrap();
    browser.see_within(&busy, "1 task waits for a decision").await.unwrap();
    browser.check_accessibility().await.unwrap();
    approval.approve("").await.unwrap();
    waits.turn_completed(1).await.unwrap();
    gate.open();
    works.turn_completed(1).await.unwrap();
    browser.until_gone(&busy, "task runs").await.unwrap();

    browser.see_within(&card("elsewhere.far"), "ready").await.unwrap();
    browser.select("Namespace", "elsewhere").await.unwrap();
    browser.until_gone("main", "busy").await.unwrap();
    browser.select("Namespace", "All namespaces").await.unwrap();
    browser.fill("Search agents", "bus").await.unwrap();
    browser.until_gone("main", "elsewhere.far").await.unwrap();
    browser.see_within(&busy, "ready").await.unwrap();
    browser.check_behaviour().await.unwrap();
}
